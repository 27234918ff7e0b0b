-- Remember what the steps of a round cost. In: `given`, with the columns of step_costs.
INSERT INTO step_costs BY NAME
SELECT * FROM given;
