/** Starts Converse.js with the settings that the server put into the page. Everything it loads comes from this server. */
const settings = JSON.parse(document.body.dataset.settings);

/** Converse's own footer loads its sponsors' logos from other sites; ours says whose work the page is. */
class Footer extends HTMLElement {
  connectedCallback() {
    this.className = "meerkat-footer";
    const link = document.createElement("a");
    link.href = "https://conversejs.org";
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    link.textContent = "Converse.js";
    this.replaceChildren(link, " (MPL 2.0) on Meerkat");
  }
}

/** A person logs in to their team's server, so that is the name to show. */
class Brand extends HTMLElement {
  connectedCallback() {
    const icon = document.createElement("img");
    icon.src = new URL("icon.svg", import.meta.url).href;
    icon.alt = "";
    const name = document.createElement("h1");
    name.textContent = settings.domain;
    this.className = "meerkat-brand";
    this.replaceChildren(icon, name);
  }
}

/** In place of Converse's links to its own site. */
class Nothing extends HTMLElement {}

/** The WebSocket of the server this page came from, whatever proxy stands between. */
function websocketUrl() {
  const url = new URL(settings.websocketPath, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * With the domain given, Converse's registration form asks for its fields again the moment it could not get them: dozens
 * of connections a second while the server is away. This puts a growing pause between the tries, and keeps to one at a time.
 */
function calmRegistration(Form) {
  const pauseMsMin = 1000;
  const pauseMsMax = 30_000;
  const fetchingForm = 1;
  const ask = Form.prototype.fetchRegistrationForm;
  let pauseMs = pauseMsMin;
  let lastTry = Number.NEGATIVE_INFINITY;
  let waiting;
  Form.prototype.fetchRegistrationForm = function (...args) {
    const idleMs = performance.now() - lastTry;
    if (idleMs > 2 * pauseMs) pauseMs = pauseMsMin;
    this.status = fetchingForm; // shows that something is going on
    clearTimeout(waiting);
    waiting = setTimeout(
      () => {
        if (!this.isConnected) return;
        lastTry = performance.now();
        pauseMs = Math.min(2 * pauseMs, pauseMsMax);
        ask.apply(this, args);
      },
      Math.max(0, pauseMs - idleMs),
    );
    return false;
  };
}

/**
 * Who accepts a request in Converse 14 should also ask for the other's presence: it calls `contact.subscribe()`, which is
 * `subscribeToPresence()` since that version, while `subscribe` became a way to watch a model and always has arguments.
 */
function subscribeBack(Contact) {
  const watch = Contact.prototype.subscribe;
  Contact.prototype.subscribe = function (...args) {
    return args.length === 0 ? this.subscribeToPresence() : watch.apply(this, args);
  };
}

/**
 * Before it opens a chat with somebody who is no contact, Converse waits for the list of blocked addresses (XEP-0191),
 * which it never asks for where the server has none. Then nobody is blocked.
 */
function withoutBlocking(_converse, Collection) {
  const { api } = _converse;
  api.listen.on("discoInitialized", async () => {
    if (await api.disco.supports("urn:xmpp:blocking", _converse.session.get("domain"))) return;
    api.trigger("blocklistInitialized", new Collection());
  });
}

/**
 * A page loaded anew resumes its stream (XEP-0198), which is bound to the address it had; Converse makes up another
 * resource by then and sends as that, for which a server has to close the stream. So the address is kept with the stream.
 */
function keepAddress(_converse) {
  const { api } = _converse;
  api.listen.on("beforeResourceBinding", () => {
    const { session } = _converse;
    const address = session.get("meerkat_stream_address");
    if (address && session.get("smacks_stream_id")) api.connection.get().jid = address;
  });
  api.listen.on("afterResourceBinding", () => {
    _converse.session.save({ meerkat_stream_address: api.connection.get().jid });
  });
}

/**
 * A page shows a message before it has kept it, and one that is loaded anew and resumes its stream gets nothing twice. For
 * chats Converse asks the archive what it lacks; for rooms it does so only on entering them.
 */
function fillRooms(_converse, utils) {
  _converse.api.listen.on("chatRoomInitialized", (room) => {
    if (!room.isEntered() || !room.features.get("mam_enabled")) return;
    const newest = room.getMostRecentMessage();
    utils.mam.fetchArchivedMessages(room, {
      mam: newest ? { start: newest.get("time") } : {},
      rsm: { before: "" },
    });
  });
}

/**
 * For each of many messages of a new chat Converse asks the archive for the same page, and for each room at once. Hundreds
 * of pages that nobody has had time to acknowledge make a server close the stream. So the same page is asked for once at a
 * time, and few at once.
 */
function calmArchive({ archive }) {
  const atOnceMax = 4;
  const query = archive.query;
  const asked = new Map();
  const waiting = [];
  let atOnce = 0;
  const ask = async (options) => {
    // Who leaves gives the place to the one who waits.
    if (atOnce < atOnceMax) atOnce++;
    else await new Promise((go) => waiting.push(go));
    try {
      return await query.call(archive, options);
    } finally {
      const next = waiting.shift();
      if (next) next();
      else atOnce--;
    }
  };
  archive.query = async (options = {}) => {
    const key = JSON.stringify(options);
    if (!asked.has(key))
      asked.set(
        key,
        ask(options).finally(() => asked.delete(key)),
      );
    // Converse writes into what it gets.
    return { ...(await asked.get(key)) };
  };
}

/** While somebody logs out, the toolbar of an open chat still asks what the server of nobody's account can do: nothing. */
function nobodySupports({ disco }) {
  const ask = disco.supports;
  disco.supports = (feature, address) => (address ? ask.call(disco, feature, address) : Promise.resolve(false));
}

/**
 * A page whose connection has broken looks as ever, and so does what is written there, which leaves when the connection
 * is back. So it is said. A moment without it, as while a stream is resumed, is not worth a word.
 */
function tellWhenBroken({ listen }) {
  const notice = document.getElementById("broken");
  const graceMs = 1000;
  let soon;
  listen.on("will-reconnect", () => {
    soon ??= setTimeout(() => {
      notice.hidden = false;
    }, graceMs);
  });
  for (const event of ["connected", "reconnected", "disconnected"]) {
    listen.on(event, () => {
      clearTimeout(soon);
      soon = undefined;
      notice.hidden = true;
    });
  }
}

async function start() {
  const { default: converse } = await import(`${settings.assetsPath}converse.min.js`);
  // Defined before Converse registers its own of the same name, these stay.
  customElements.define("converse-controlbox-navbar", Nothing);
  customElements.define("converse-footer", Footer);
  customElements.define("converse-brand-logo", Brand);
  converse.plugins.add("meerkat-chat", {
    dependencies: ["converse-blocklist", "converse-disco", "converse-mam", "converse-register", "converse-roster"],
    initialize() {
      const { RegistrationForm, RosterContact } = this._converse.exports;
      calmRegistration(RegistrationForm);
      subscribeBack(RosterContact);
      keepAddress(this._converse);
      fillRooms(this._converse, converse.env.utils);
      nobodySupports(this._converse.api);
      tellWhenBroken(this._converse.api);
      calmArchive(this._converse.api);
      withoutBlocking(this._converse, converse.env.Collection);
    },
  });
  document.body.classList.add("started");
  document.body.classList.toggle("without-groups", !settings.groups);
  await converse.initialize({
    view_mode: "fullscreen",
    assets_path: settings.assetsPath,
    loglevel: "warn",

    // Which server: this one and no other.
    websocket_url: websocketUrl(),
    discover_connection_methods: false,
    [settings.locked ? "locked_domain" : "default_domain"]: settings.domain,
    allow_registration: settings.registration,
    registration_domain: settings.domain,

    // Uploaded files are shown; links to elsewhere stay links, so that nobody learns who reads a message.
    render_media: settings.mediaHosts.length > 0,
    allowed_image_domains: settings.mediaHosts,
    allowed_audio_domains: settings.mediaHosts,
    allowed_video_domains: settings.mediaHosts,

    // Nothing from elsewhere: no lists of providers, no previews of pages, no images of emoji, no maps.
    autocomplete_providers_url: null,
    xmpp_providers_url: "",
    providers_link: "",
    // Converse has no field for a room's address without a service to search in; this server has none, and says so.
    muc_search_service: settings.domain,
    muc_nickname_from_jid: true,
    // Left out, Converse asks for no history at all; where the room has an archive it reads that instead.
    muc_history_max_stanzas: 100,
    embed_3rd_party_media_players: false,
    fetch_url_headers: false,
    use_system_emojis: true,
    emoji_image_path: settings.assetsPath,
    geouri_replacement: "geo:$1,$2",
    notification_icon: new URL("icon.svg", import.meta.url).href,
    visible_toolbar_buttons: { call: false, clear: true, emoji: true, location: false, spoiler: false },

    // OMEMO needs WebAssembly, which the page's policy forbids, and a browser is a poor place for keys.
    whitelisted_plugins: ["meerkat-chat"],
    blacklisted_plugins: ["converse-omemo", "converse-omemo-views", "converse-push"],

    // A tab that is not looked at tells the server so, which then holds back what can wait (XEP-0352).
    csi_waiting_time: 60,
    auto_reconnect: true,
    show_client_info: false,
    show_message_avatar: true,
  });
}

start().catch((error) => {
  document.body.classList.remove("started");
  const notice = document.getElementById("opening");
  notice.className = "failed";
  notice.textContent = `The chat could not be opened: ${error.message}`;
  throw error;
});
