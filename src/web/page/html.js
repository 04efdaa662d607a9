// Templates without a build step: htm turns a tagged template into Preact's nodes. Text stays text; nothing here parses HTML.

import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
