//! What is behind: moto, and how it is asked.

use super::words::Words;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Uri};
use serde_json::Value;

/// The one version of EC2's API. Other services have others, or none.
pub(super) const VERSION: &str = "2016-11-15";

/// A request as it came in.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    /// Of what type its body is.
    pub(super) kind: String,
    pub(super) body: String,
}

impl Told {
    pub(super) fn is_well(&self) -> bool {
        self.status == 200
    }
}

/// The signature of who tests. moto reads from it which service is asked, and where.
pub(super) fn signed(service: &str) -> String {
    let scope = format!("test/20260101/us-east-1/{service}/aws4_request");
    format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0")
}

pub(super) struct Moto {
    url: String,
    client: reqwest::Client,
}

impl Moto {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), client: reqwest::Client::new() }
    }

    /// Makes a call of EC2, signed like this.
    pub(super) async fn ask(&self, by: &str, action: &str, words: &Words) -> Told {
        self.query(by, (action, VERSION), words).await
    }

    /// Makes a call of IAM.
    pub(super) async fn iam(&self, action: &str, words: &Words) -> Told {
        self.query(&signed("iam"), (action, "2010-05-08"), words).await
    }

    async fn query(&self, by: &str, (action, version): (&str, &str), words: &Words) -> Told {
        let mut form = words.clone();
        form.insert("Action".to_owned(), action.to_owned());
        form.insert("Version".to_owned(), version.to_owned());
        let request = self.client.post(&self.url).header("authorization", by).form(&form);
        told(request.send().await.unwrap()).await
    }

    /// Makes a call of a service that speaks JSON.
    pub(super) async fn json(&self, service: &str, target: &str, body: &Value) -> Told {
        let request = self
            .client
            .post(&self.url)
            .header("authorization", signed(service))
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.1")
            .body(body.to_string());
        told(request.send().await.unwrap()).await
    }

    /// Hands on a request as it is.
    pub(super) async fn pass(&self, asked: Asked) -> Told {
        let Asked { method, uri, mut headers, body } = asked;
        // These are of each connection its own.
        for name in [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        let url = format!("{}{uri}", self.url);
        let request = self.client.request(method, url).headers(headers).body(body);
        told(request.send().await.unwrap()).await
    }
}

async fn told(answer: reqwest::Response) -> Told {
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map_or("text/xml", |it| it.to_str().unwrap());
    let kind = kind.to_owned();
    Told { status, kind, body: answer.text().await.unwrap() }
}
