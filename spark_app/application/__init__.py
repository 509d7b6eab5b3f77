"""One call of a job: how it is opened, what it works on, and the work of each kind of job."""
