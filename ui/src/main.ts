import { mount } from "svelte";
import "./style/tokens.css";
import "./style/base.css";
import App from "./app/App.svelte";

const target = document.getElementById("app");
if (!target) throw new Error("index.html has an element for the application");
mount(App, { target });
