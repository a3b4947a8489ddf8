import { DisplayError } from '../errors.ts'
import type { Keyboard } from '../input/keyboard.ts'
import type { Mouse } from '../input/mouse.ts'
import type { Screen } from '../screen.ts'
import { hasDes } from './des.ts'
import { VncSession } from './session.ts'
import type { Compressor, VncTransport } from './update-sender.ts'

/** Options of {@link VncServer}. */
export interface VncServerOptions {
  /** The screen that clients see. */
  readonly screen: Screen
  /** The keyboard that clients type on. */
  readonly keyboard: Keyboard
  /** The mouse that clients move. */
  readonly mouse: Mouse
  /** The desktop's name; default `retrap`. */
  readonly name?: string
  /** The password that clients must know: 1 to 8 characters of Latin-1; under Node, Bun or Deno. Default none: everybody may connect. */
  readonly password?: string
  /** Most clients at a time, including unauthenticated ones; default 8. */
  readonly maximumClients?: number
  /** Makes a zlib stream of a client, for the encodings Tight and ZRLE. Default none: pixels are sent as they are. */
  readonly createCompressor?: () => Compressor
}

const MOST_CLIENTS = 8
const LONGEST_PASSWORD = 8

/** One client of a {@link VncServer}. */
export interface VncConnection {
  /** Takes bytes that the client has sent. */
  receive(bytes: Uint8Array): void
  /** Ends the connection, from either side. */
  close(): void
}

/**
 * Shows a machine's screen to VNC clients, and takes their keys and pointers. It speaks RFB 3.8 over anything that carries
 * bytes: `@retrap/display/node` has TCP and WebSockets.
 *
 * A client's bytes can end its own connection and nothing else. A client that reads slowly gets fewer updates, each with
 * all that has changed: no queue grows.
 *
 * Source: RFC 6143, "The Remote Framebuffer Protocol".
 */
export class VncServer {
  readonly #options: VncServerOptions
  readonly #sessions = new Set<VncSession>()

  /** @throws DisplayError `ERR_OPTION` */
  constructor(options: VncServerOptions) {
    const { password, maximumClients = MOST_CLIENTS } = options
    if (password !== undefined && !/^[ -~\u00a0-\u00ff]{1,8}$/.test(password)) {
      const expected = `1 to ${LONGEST_PASSWORD} printable characters of Latin-1, which is all that VNC compares`
      throw new DisplayError('ERR_OPTION', `password of ${password.length} characters: expected ${expected}`)
    }
    if (password !== undefined && !hasDes)
      throw new DisplayError('ERR_OPTION', 'password: expected a host with node:crypto, which has the DES of VNC')
    if (!Number.isInteger(maximumClients) || maximumClients < 1) {
      throw new DisplayError('ERR_OPTION', `maximumClients ${maximumClients}: expected a whole number above 0`)
    }
    this.#options = options
  }

  /** Number of connected clients. */
  get clients(): number {
    return this.#sessions.size
  }

  /** Whether clients must know a password. */
  get hasPassword(): boolean {
    return this.#options.password !== undefined
  }

  /**
   * Starts a client's session. If there are too many, the oldest unauthenticated one is closed, so that silent
   * connections do not exclude others. If all are authenticated, the new one is closed.
   */
  connect(transport: VncTransport): VncConnection {
    const { screen, keyboard, mouse, name = 'retrap', password, createCompressor } = this.#options
    const { maximumClients = MOST_CLIENTS } = this.#options
    if (this.#sessions.size >= maximumClients) this.#oldestStranger()?.close()
    if (this.#sessions.size >= maximumClients) {
      transport.close()
      return { receive: () => {}, close: () => {} }
    }
    const random = (bytes: Uint8Array): void => void host.crypto.getRandomValues(bytes)
    const settings = { screen, keyboard, mouse, name, password, random, createCompressor }
    const session = new VncSession(settings, transport, () => this.#sessions.delete(session))
    this.#sessions.add(session)
    return session
  }

  /** The sessions are in the order in which they began. */
  #oldestStranger(): VncSession | undefined {
    for (const session of this.#sessions) if (!session.isLetIn) return session
    return undefined
  }

  /** Ends all connections. */
  close(): void {
    for (const session of this.#sessions) session.close()
  }
}

/** Globals of Node and browsers that the language's own types lack. */
const host = globalThis as unknown as { readonly crypto: { getRandomValues(bytes: Uint8Array): Uint8Array } }
