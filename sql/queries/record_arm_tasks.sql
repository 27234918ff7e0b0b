-- Remember how a finished arm did in lm-eval's tasks. In: `given`, with the columns of arm_tasks.
INSERT INTO arm_tasks BY NAME
SELECT * FROM given;
