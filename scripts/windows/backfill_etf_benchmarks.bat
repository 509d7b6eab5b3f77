@echo off
rem backfill_etf_benchmarks.bat [arguments of the job], for example --help
setlocal
set "JOB=backfill_etf_benchmarks"
call "%~dp0run_job.bat" %*
exit /b %ERRORLEVEL%
