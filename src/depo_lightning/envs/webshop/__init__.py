"""WebShop as text, as AgentGym serves it (repository `WooooDyy/AgentGym`, folder `agentenv-webshop`)."""
