DROP TABLE sign_in_failures, sign_in_budgets;
