//! Who may manage components.

use super::api::{TOKEN, settings, start, start_with};
use crate::calls::{self, Response};
use crate::environment::Environment;
use http::Request;
use std::net::SocketAddr;

async fn list(address: SocketAddr, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::get("/v1.0-alpha1/components");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    calls::send(address, request, "").await
}

#[tokio::test]
async fn only_the_token_opens_the_api() {
    let env = Environment::start().await;
    let mut settings = settings(&env, None);
    settings.api_token = Some("api-token".into());
    let (sidecar, _) = start_with(&settings).await;
    for headers in
        [&[][..], &[("dapr-api-token", "wrong")], &[("dapr-api-token", "api-token")], &[("dapr-api-token", "")]]
    {
        let refused = list(sidecar.address(), headers).await;
        assert_eq!(
            (refused.status.as_u16(), refused.field("errorCode").as_str()),
            (401, "ERR_UNAUTHORIZED"),
            "{headers:?}"
        );
        assert!(refused.text().contains("BINDD_ADMIN_TOKEN"), "{}", refused.text());
    }
    assert_eq!(list(sidecar.address(), &[("dapr-api-token", TOKEN)]).await.status, 200);
    let others =
        calls::send(sidecar.address(), Request::get("/v1.0/metadata").header("dapr-api-token", TOKEN), "").await;
    assert_eq!(others.status, 401, "it opens nothing else");
    for (method, path) in [("PUT", "/v1.0-alpha1/components"), ("PATCH", "/v3/apps/shop/dataconnectors/a")] {
        for (token, status) in [(TOKEN, 404), ("wrong", 401)] {
            let request = Request::builder().method(method).uri(path).header("dapr-api-token", token);
            let unknown = calls::send(sidecar.address(), request, "{}").await;
            assert_eq!(unknown.status, status, "{method} {path}: {}", unknown.text());
        }
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn without_its_flag_there_is_no_such_api() {
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let response = list(sidecar.address(), &[("dapr-api-token", TOKEN)]).await;
    assert_eq!((response.status.as_u16(), response.field("errorCode").as_str()), (404, "ERR_DIRECT_INVOKE"));
    sidecar.stop().await;
}

#[tokio::test]
async fn pages_in_a_browser_need_an_origin_that_is_listed_by_its_name() {
    let env = Environment::start().await;
    for (origins, is_open, page, status) in [
        ("", false, "https://shop.example", 403),
        ("*", false, "https://shop.example", 403),
        ("*", true, "https://shop.example", 403),
        ("", true, "https://shop.example", 403),
        ("https://shop.example", false, "https://shop.example", 200),
        ("https://shop.example", false, "https://other.example", 403),
    ] {
        let mut settings = settings(&env, None);
        settings.access.origins = bindd::http::AllowedOrigins::parse(origins).unwrap();
        settings.access.is_open = is_open;
        let (sidecar, _) = start_with(&settings).await;
        let response = list(sidecar.address(), &[("dapr-api-token", TOKEN), ("origin", page)]).await;
        assert_eq!(response.status, status, "{origins} {is_open} {page}: {}", response.text());
        let site = list(sidecar.address(), &[("dapr-api-token", TOKEN), ("sec-fetch-site", "cross-site")]).await;
        assert_eq!(site.status, 403);
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn a_host_name_that_is_not_of_this_machine_is_refused() {
    let env = Environment::start().await;
    let (sidecar, _) = start(&env).await;
    let request = Request::get("http://rebound.example/v1.0-alpha1/components").header("dapr-api-token", TOKEN);
    assert_eq!(calls::send(sidecar.address(), request, "").await.status, 403);
    sidecar.stop().await;
}
