@echo off
rem Runs the job that the variable JOB names, with the arguments given, in this project's own environment.
rem Not tried on Windows itself: the tried way there is WSL or a container, with spark_jobs_launcher.sh (WORKFLOW.md).
setlocal
for %%I in ("%~dp0..\..") do set "ROOT=%%~fI"
set "PYTHON=%ROOT%\.venv\Scripts\python.exe"

if not exist "%PYTHON%" goto no_environment
"%PYTHON%" -c "import pyspark" 2>nul || goto no_packages
where java >nul 2>nul || if not exist "%JAVA_HOME%\bin\java.exe" goto no_java
if not exist "%HADOOP_HOME%\bin\winutils.exe" goto no_winutils
if not defined DATABASE_URL goto no_database

if not defined SPARK_APP_HOME set "SPARK_APP_HOME=%ROOT%\var"
set "SPARK_HOME="
set "SPARK_CONF_DIR=%ROOT%\conf"
set "PYTHONPATH=%ROOT%"
set "PYSPARK_PYTHON=%PYTHON%"
"%PYTHON%" "%ROOT%\jobs\%JOB%.py" %*
exit /b %ERRORLEVEL%

:no_environment
echo %JOB%: there is no environment in %ROOT%\.venv; make it with: py -3 -m venv "%ROOT%\.venv" 1>&2
:no_packages
echo %JOB%: install what it needs with: "%PYTHON%" -m pip install -r "%ROOT%\requirements\runtime.txt" 1>&2
echo %JOB%: and Spark's jars with: "%PYTHON%" "%ROOT%\scripts\fetch_jars.py" 1>&2
exit /b 69

:no_java
echo %JOB%: Spark needs Java 17 or newer, on PATH or in JAVA_HOME 1>&2
exit /b 69

:no_winutils
echo %JOB%: Spark on Windows needs Hadoop's winutils.exe and hadoop.dll; HADOOP_HOME names the folder whose bin has them 1>&2
exit /b 69

:no_database
echo %JOB%: the embedded PostgreSQL does not run on Windows; name a database in DATABASE_URL 1>&2
exit /b 69
