//! Access tokens by client credentials: one request in flight, kept until shortly before their end.
use secrecy::SecretString;
#[derive(Debug, Clone)]
pub struct AccessToken(pub SecretString);
#[derive(Debug, Clone)]
pub struct TokenError;
#[derive(Debug)]
pub struct Tokens;
