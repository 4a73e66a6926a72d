/** Everything that a first day takes, in Spanish. */

import assert from "node:assert/strict";
import { stage } from "./support/stage.mjs";
import { ADMIN_KEY } from "./support/waxwing.mjs";

const { visit } = stage();

visit("quien lee español hace todo en español, también lo que falla", { locale: "es-ES" }, async ({ page, receiving, expect, examine, fits, shoot }) => {
  expect(/status of 409 .*\/v1\/event-types/);
  const inbox = await receiving();
  await page.getByRole("tab", { name: "Clave de API" }).click();
  await page.getByLabel("Clave de API de la instancia").fill(ADMIN_KEY);
  await page.getByRole("button", { name: "Entrar" }).click();
  await page.getByRole("heading", { level: 1, name: "Resumen" }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "es");

  await page.getByRole("link", { name: "Tipos de evento" }).click();
  await page.getByText("El catálogo está vacío").waitFor();
  for (const attempt of ["first", "second"]) {
    await page.getByRole("link", { name: "Nuevo tipo de evento" }).first().click();
    await page.getByRole("textbox", { name: "Nombre" }).fill("pedido.pagado");
    await page.getByRole("textbox", { name: "Ejemplo" }).fill('{"total":"12,50"}');
    await page.getByRole("button", { name: "Crear" }).click();
    if (attempt === "second") break;
    await page.getByRole("heading", { level: 1, name: "pedido.pagado" }).waitFor();
    await page.getByText("Nadie está suscrito").waitFor();
    await page.getByRole("link", { name: "Tipos de evento" }).first().click();
  }
  await page.getByText("Ese nombre ya está en uso").waitFor();
  await examine("un nombre que ya está en uso");
  await shoot("spanish-taken");

  await page.getByRole("link", { name: "Suscripciones" }).click();
  await page.getByRole("link", { name: "Nueva suscripción" }).first().click();
  await page.getByLabel("URL").fill(`${inbox.url}/avisos`);
  await page.getByRole("textbox", { name: "Eventos" }).fill("pedido.*");
  await page.getByRole("button", { name: "Crear" }).click();
  const secret = page.getByRole("dialog", { name: "Secreto de firma" });
  await examine("un secreto");
  await secret.getByRole("button", { name: "Lo he guardado" }).click();
  await page.getByRole("button", { name: "Enviar prueba" }).click();
  const testing = page.getByRole("dialog", { name: "Enviar prueba" });
  await testing.getByRole("button", { name: "Enviar prueba" }).click();
  await testing.getByText("El receptor la aceptó").waitFor();
  await page.keyboard.press("Escape");

  await page.getByRole("link", { name: "Eventos", exact: true }).click();
  await page.getByRole("link", { name: "Enviar un evento" }).first().click();
  await page.getByLabel("Tipo de evento").selectOption("pedido.pagado");
  await page.getByRole("textbox", { name: "Contenido" }).fill('{"total":"3,00"}');
  const arrived = inbox.next();
  await page.getByRole("button", { name: "Enviar", exact: true }).click();
  assert.match((await arrived).body, /"total":"3,00"/);
  await page.getByRole("heading", { name: "Adónde fue" }).waitFor();
  await page.getByRole("table").getByText("Entregada").waitFor();
  await examine("un evento");
  await page.getByRole("link", { name: "Entregas" }).click();
  await page.getByRole("table").getByRole("link", { name: "pedido.pagado" }).click();
  await page.getByRole("heading", { name: "Solicitud" }).waitFor();
  await fits("una entrega");
  await shoot("spanish-delivery");
  await page.getByRole("button", { name: "Cerrar sesión" }).click();
  await page.getByRole("heading", { level: 1, name: "Iniciar sesión" }).waitFor();
});
