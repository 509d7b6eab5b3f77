-- On a date with too few positions for portfolio.max_weight all weights are equal. Earlier versions refused such a date.
ALTER TABLE analytics_portfolio_allocation ADD COLUMN is_max_weight_exceeded boolean NOT NULL DEFAULT false;
