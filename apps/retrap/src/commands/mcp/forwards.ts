import type { Guest, GuestForward } from '@retrap/guest'
import { printable } from '@retrap/test'
import type { Background } from './background.ts'
import { ToolError } from './tool-error.ts'

/** Most forwards of a machine at a time. */
const MOST_FORWARDS = 16
/** A server that stays silent for this long has accepted the connection. */
const PATIENCE_MS = 1000

/** A port of the host's 127.0.0.1 that leads to a port of a guest. */
export interface OpenForward {
  /** The host's port. */
  readonly port: number
  readonly guestPort: number
  /** Why the forward's last connection failed. */
  readonly trouble: string | undefined
}

interface Entry {
  readonly guestPort: number
  readonly forward: GuestForward
  readonly timer: NodeJS.Timeout
  /** Why the forward's last connection failed. */
  readonly trouble: { last: string | undefined }
}

/** The port forwards of a machine, which runs in the background while any is open. */
export class Forwards {
  readonly #background: Background
  readonly #open = new Map<number, Entry>()
  /** Number of forwards being opened. */
  #opening = 0
  /** Number of calls of `closeAll`. */
  #closings = 0

  constructor(background: Background) {
    this.#background = background
  }

  get all(): readonly OpenForward[] {
    return [...this.#open].map(([port, { guestPort, trouble }]) => ({ port, guestPort, trouble: trouble.last }))
  }

  /**
   * Opens a port of 127.0.0.1.
   *
   * @param hostPort - default any free port
   * @param seconds - time after which the forward closes by itself
   * @returns the port
   * @throws ToolError `ERR_LIMIT`; GuestError `ERR_GUEST_OPTION` for a port that cannot be had
   */
  async open(guest: Guest, guestPort: number, hostPort: number | undefined, seconds: number): Promise<number> {
    if (this.#open.size + this.#opening >= MOST_FORWARDS)
      throw new ToolError('ERR_LIMIT', `the machine has ${MOST_FORWARDS} forwards, which is the limit: close one`)
    const reason = {}
    this.#background.want(reason)
    this.#opening++
    const closings = this.#closings
    try {
      const trouble: { last: string | undefined } = { last: undefined }
      const forward = await guest.forward(guestPort, {
        hostAddress: '127.0.0.1',
        ...(hostPort !== undefined && { hostPort }),
        onError: (error) => {
          // The error's text may come from the guest.
          trouble.last = printable(error instanceof Error ? error.message : String(error))
        },
      })
      if (closings !== this.#closings) {
        forward.close()
        throw new ToolError('ERR_STATE', 'the forward was closed before it was open')
      }
      const { port } = forward
      const timer = setTimeout(() => this.close(port), 1000 * seconds)
      const entry: Entry = { guestPort, forward, timer, trouble }
      this.#open.set(port, entry)
      this.#background.want(entry)
      return port
    } finally {
      this.#opening--
      this.#background.unwant(reason)
    }
  }

  /** Connects once, as a peer that asks nothing. @returns why nothing accepts connections at a port of the guest */
  async troubleAt(guest: Guest, guestPort: number): Promise<string | undefined> {
    const connection = await guest.connect(guestPort)
    connection.end()
    const patience = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), PATIENCE_MS))
    const first = connection.readable[Symbol.asyncIterator]().next()
    const refused = first.then(
      () => undefined,
      (error: unknown) => printable(error instanceof Error ? error.message : String(error)),
    )
    return Promise.race([refused, patience]).finally(() => connection.abort())
  }

  /** Closes a forward and its connections. @returns whether the port had one */
  close(port: number): boolean {
    const entry = this.#open.get(port)
    if (entry === undefined) return false
    this.#open.delete(port)
    clearTimeout(entry.timer)
    entry.forward.close()
    this.#background.unwant(entry)
    return true
  }

  /** Closes all forwards. @returns the host's ports that they had */
  closeAll(): readonly number[] {
    this.#closings++
    const ports = [...this.#open.keys()]
    for (const port of ports) this.close(port)
    return ports
  }
}

/** Says which forwards are no more. */
export function closedText(ports: readonly number[]): string {
  return ports.length === 0 ? 'No forward was open.' : `Closed: ${ports.map((port) => `127.0.0.1:${port}`).join(', ')}`
}
