import { connectGuest, type Guest, GuestError, type GuestPort } from '@retrap/guest'
import type { Call } from './call.ts'
import { ToolError } from './tool-error.ts'

/** A connection is tried anew after this many milliseconds, for as long as a call lasts. */
const CONNECT_MS = 10_000

/** A machine's port for the agent, and the guest's name for it. */
export interface AgentPort {
  readonly port: GuestPort
  readonly device: string
}

/** The connection to the agent in a guest, made on demand. */
export class AgentLink {
  readonly #agent: AgentPort | undefined
  #guest: Promise<Guest> | undefined

  constructor(agent: AgentPort | undefined) {
    this.#agent = agent
  }

  /** Returns the guest. The machine runs. @throws ToolError `ERR_GUEST` without an agent */
  async connected(call: Call): Promise<Guest> {
    const { port, device = '/dev/ttyS1' } = this.#agent ?? {}
    const noAgent = (): ToolError =>
      new ToolError(
        'ERR_GUEST',
        `no agent of @retrap/guest has answered at ${device}. system debian has one; elsewhere boot with addAgent and start it in the guest: sh /retrap-agent.sh ${device} & (tool type does that at a shell). Without one, type commands on the console`,
      )
    if (port === undefined) throw noAgent()
    for (;;) {
      this.#guest ??= connectGuest(port, { connectTimeoutMs: CONNECT_MS })
      try {
        return await call.wait(this.#guest, 'the agent')
      } catch (error) {
        // A connection that is still being made is for a later call.
        if (error instanceof ToolError) throw error.code === 'ERR_TIME' ? noAgent() : error
        this.#guest = undefined
        if (!(error instanceof GuestError && error.code === 'ERR_GUEST_TIMEOUT')) throw error
      }
    }
  }

  /** Drops the connection: the agent at another instant of the run is a different one. */
  async leave(): Promise<void> {
    const guest = this.#guest
    this.#guest = undefined
    ;(await guest?.catch(() => undefined))?.close()
  }
}
