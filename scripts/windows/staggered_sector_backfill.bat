@echo off
rem staggered_sector_backfill.bat [arguments of the job], for example --help
setlocal
set "JOB=staggered_sector_backfill"
call "%~dp0run_job.bat" %*
exit /b %ERRORLEVEL%
