import { setTimeout as sleep } from 'node:timers/promises'
import { HostPacing, type MachineCheckpoint, type MachineDebugger, type MachineExit } from '@retrap/machine'
import type { Keyboard } from '@retrap/display'
import type { ExecResult } from '@retrap/guest'
import { AgentLink } from './agent-link.ts'
import { Background } from './background.ts'
import type { Board, BoardOptions, MadeBoard } from './boards.ts'
import type { Call } from './call.ts'
import { ConsoleLog } from './console-log.ts'
import { Forwards } from './forwards.ts'
import type { ToolNetwork } from './networks.ts'
import type { PastDebugger, RecordedRun } from './recorded-run.ts'
import { ToolError } from './tool-error.ts'

/** Facts about a machine that do not change. */
export interface MachineFacts {
  readonly name: string
  /** Names of the machine's files, or of its system. */
  readonly system: string
  readonly kind: BoardOptions['kind']
  readonly memoryBytes: number
  /** Memory of the host that the machine counts as. */
  readonly hostBytes: number
  /** Name of the machine that this one was forked from. */
  readonly parent?: string
}

export interface MachineParts {
  /** Throws where the machine may not run in the background. */
  readonly admit: () => void
  /** The recording of the machine's run, if it is recorded. */
  readonly recorded?: RecordedRun | undefined
  /** Disks of the machine and of its forks. */
  readonly disks?: SharedDisks | undefined
  /** The network of the machine's card; a fork has none. */
  readonly network?: ToolNetwork | undefined
}

/** Open images of a machine and its forks. They close with the last of these machines. */
export class SharedDisks {
  readonly #close: () => Promise<void>
  #users = 1

  constructor(close: () => Promise<void>) {
    this.#close = close
  }

  /** Adds a machine to the users of the files. */
  retain(): this {
    this.#users++
    return this
  }

  /** Removes a machine from the users of the files, and closes the files when no user is left. */
  async release(): Promise<void> {
    if (--this.#users === 0) await this.#close()
  }
}

/** Time for a command to end after its timeout: the guest's agent ends it, and sends the rest of its output. */
const ENDING_MS = 8000
/** Time for which the machine runs after keys were pressed. */
const KEYS_MS = 500
/** Guest time after which a fork knows its new generation, by its kernel or a program that polls ten times a second. */
const SETTLED_NS = 150e6
/**
 * A machine of the server. It runs while a call needs that, and stands still between calls, unless it runs in the background; on
 * deterministic time the guest notices nothing of it. Calls on one machine wait for each other.
 */
export class ToolMachine {
  readonly facts: MachineFacts
  readonly console: ConsoleLog = new ConsoleLog()
  readonly #made: MadeBoard
  readonly #pc: Board
  readonly #network: ToolNetwork | undefined
  readonly #recorded: RecordedRun | undefined
  /** Disks of the machine and of its forks. */
  readonly disks: SharedDisks | undefined
  /** Debugger while calls look at the recorded past; undefined: calls act on the machine's present. */
  #travel: PastDebugger | undefined
  #checkpoint: MachineCheckpoint | undefined
  /** Guest time from which calls see the machine; 0: from the beginning. */
  readonly #fromNs: number
  readonly #agent: AgentLink
  readonly #pacing: HostPacing
  readonly #background: Background
  /** Ports of the host that lead to its guest. */
  readonly forwards: Forwards
  /** Timer that ends the run that `resume` has begun. */
  #resumed: NodeJS.Timeout | undefined
  #exit: MachineExit | undefined
  /** Settles when all calls before have ended. */
  #last: Promise<unknown> = Promise.resolve()
  readonly #closing = new AbortController()

  constructor(facts: MachineFacts, made: MadeBoard, { admit, recorded, disks, network }: MachineParts) {
    const { machine: pc, agent } = made
    this.facts = facts
    this.#made = made
    this.#fromNs = facts.parent === undefined ? 0 : pc.domain.clock.now() + SETTLED_NS
    this.#pc = pc
    this.#network = network
    this.#recorded = recorded
    this.disks = disks
    this.#agent = new AgentLink(agent)
    this.#pacing = new HostPacing(pc.domain)
    // A recorded machine gets its inputs by the recorder.
    if (recorded === undefined) pc.domain.takeInputs(this.#pacing)
    this.#background = new Background(async (signal) => void (await this.#run(signal)), admit)
    this.forwards = new Forwards(this.#background)
    pc.serial.onTransmit((bytes) => this.console.push(bytes))
  }

  /** The machine that calls see at present: going back shows another one. */
  get #shown(): Board {
    return this.#travel?.pc ?? this.#pc
  }

  /** Text for people: whether the machine runs, is paused or has ended. */
  get state(): string {
    const { instructions: now } = this.#pc.domain
    const at = `at instruction ${now}`
    if (this.#exit !== undefined) return `ended (${describeExit(this.#exit)}) ${at}`
    const { instructions } = this.#shown.domain
    return instructions < now ? `${at}; shown is its past at instruction ${instructions}` : at
  }

  /** Whether the machine runs in the background. Calls that look into the machine stop it meanwhile. */
  get isRunning(): boolean {
    return this.#background.isWanted
  }

  get isRecorded(): boolean {
    return this.#recorded !== undefined
  }

  /** Types bytes on the console; the guest takes them when the machine runs. */
  type(text: string): void {
    this.#pc.serial.receive(new TextEncoder().encode(text))
  }

  /** Runs the machine until an action has ended. */
  async running<T>(call: Call, what: string, action: () => Promise<T>, patienceMs = 0): Promise<T> {
    return this.#inTurn(call, async () => {
      if (this.#exit !== undefined) throw this.#ended()
      const stop = new AbortController()
      const { promise: ended, reject } = Promise.withResolvers<never>()
      const closed = (): void => reject(this.#stopped())
      this.#closing.signal.addEventListener('abort', closed)
      const run = this.#run(stop.signal).then((hasEnded) => {
        if (hasEnded) reject(this.#ended())
      })
      try {
        await Promise.race([this.#settled(call.leftMs / 2), ended])
        return await call.wait(Promise.race([action(), ended]), what, patienceMs)
      } finally {
        this.#closing.signal.removeEventListener('abort', closed)
        stop.abort()
        await run
        ended.catch(() => {})
      }
    })
  }

  /** Waits until a fork's guest knows its new generation; a busy guest may take long. */
  async #settled(mostMs: number): Promise<void> {
    const until = performance.now() + mostMs
    while (this.#pc.domain.clock.now() < this.#fromNs && performance.now() < until) await sleep(1)
  }

  /** Runs the machine from its present instant. @returns whether its guest has ended it; false: the run was stopped */
  async #run(signal: AbortSignal): Promise<boolean> {
    this.#pacing.restart()
    // Peers outside have the host's time.
    this.#pacing.isOn = this.isRunning || this.#network !== undefined
    try {
      this.#exit = await this.#goOn(signal)
    } catch (error) {
      this.#exit = { reason: 'internal-error', detail: { message: String(error) } }
    }
    if (this.#exit === undefined) return false
    this.#standStill()
    return true
  }

  /** @returns how the guest has ended the machine; undefined: the run was stopped */
  async #goOn(signal: AbortSignal): Promise<MachineExit | undefined> {
    const travel = this.#travel
    if (travel === undefined) {
      const exit = await this.#pc.run({ signal })
      return exit.reason === 'stopped' ? undefined : exit
    }
    await travel.goto(this.#pc.domain.instructions)
    const stop = await travel.continue({ signal })
    return 'detail' in stop || ENDS.has(stop.reason) ? (stop as MachineExit) : undefined
  }

  /** Lets the machine run between calls. @param seconds - time after which the machine stands still @throws ToolError `ERR_STATE`, `ERR_LIMIT` */
  async resume(call: Call, seconds: number): Promise<void> {
    this.#checkRuns()
    await this.#inTurn(call, async () => {
      if (this.#exit !== undefined) throw this.#ended()
      this.#background.want(this)
      clearTimeout(this.#resumed)
      this.#resumed = setTimeout(() => this.#background.unwant(this), 1000 * seconds)
    })
  }

  /** Has the machine stand still between calls. @returns the ports of forwards that were closed */
  async pause(call: Call): Promise<readonly number[]> {
    return this.#inTurn(call, async () => this.#standStill())
  }

  #standStill(): readonly number[] {
    clearTimeout(this.#resumed)
    const ports = this.forwards.closeAll()
    void this.#background.end()
    return ports
  }

  /**
   * Forwards a port of 127.0.0.1 to a guest's port.
   *
   * @returns the port, and the reason if nothing in the guest accepts connections to it
   * @throws ToolError; GuestError
   */
  async forward(
    call: Call,
    guestPort: number,
    hostPort: number | undefined,
    seconds: number,
  ): Promise<{ readonly port: number; readonly trouble: string | undefined }> {
    this.#checkRuns()
    return this.running(call, 'the agent', async () => {
      const guest = await this.#agent.connected(call)
      // The caller no longer waits.
      if (call.over.aborted || this.#closing.signal.aborted) throw call.reason('the agent')
      const port = await this.forwards.open(guest, guestPort, hostPort, seconds)
      return { port, trouble: await this.forwards.troubleAt(guest, guestPort) }
    })
  }

  /** @throws ToolError `ERR_STATE` for a machine that runs in calls alone */
  #checkRuns(): void {
    if (this.isRecorded)
      throw this.#refusal(
        `is recorded, and runs in calls alone: by itself it would go on, and its recording grow, while its past is looked at. Boot or fork without record`,
      )
  }

  /** Runs the machine for this long, or until it ends. */
  async runFor(call: Call, milliseconds: number): Promise<void> {
    await this.running(call, `the end of ${milliseconds} ms`, () => sleep(milliseconds)).catch((error: unknown) => {
      if (!(error instanceof ToolError && error.code === 'ERR_ENDED')) throw error
    })
  }

  /**
   * Runs a command by the guest's agent.
   *
   * @throws ToolError `ERR_GUEST` without an agent; GuestError with the output of a command that was ended
   */
  async exec(call: Call, command: string, stdin: string | undefined, maxOutputBytes: number): Promise<ExecResult> {
    return this.running(
      call,
      'the end of the command',
      async () => {
        const guest = await this.#agent.connected(call)
        const timeoutMs = call.leftMs
        const options = { timeoutMs, maxOutputBytes, signal: call.cancelled }
        return guest.exec(command, { ...options, ...(stdin !== undefined && { stdin }) })
      },
      ENDING_MS,
    )
  }

  /** Presses keys, and waits until the guest has taken them. @throws DisplayError for an unknown key */
  async press(call: Call, keys: (keyboard: Keyboard) => Promise<boolean>): Promise<void> {
    if (this.facts.kind === 'virt')
      throw this.#refusal('is an Arm board, which has no keyboard here: type on its console')
    await this.running(call, 'the guest to take the keys', async () => {
      await keys(this.#pc.keyboard)
      await sleep(KEYS_MS)
    })
  }

  /** Runs an action on the machine while the machine stands still. */
  async still<T>(call: Call, action: (machine: Board) => Promise<T>): Promise<T> {
    return this.#inTurn(call, () => action(this.#shown))
  }

  /** The debugger of the machine that is shown, which stands still. */
  async inspect<T>(call: Call, action: (debug: MachineDebugger) => T): Promise<T> {
    return this.still(call, async (machine) => action(await machine.debugger()))
  }

  /** Makes a copy of the machine, which goes on from the same instant. */
  async fork(call: Call, make: (made: MadeBoard) => Promise<ToolMachine>): Promise<ToolMachine> {
    if (this.isRecorded)
      throw this.#refusal('is recorded, and cannot be forked: boot without record, and record the fork')
    return this.#inTurn(call, () => make(this.#made))
  }

  /** Saves this instant, replacing the previous one. */
  async checkpoint(call: Call): Promise<void> {
    if (this.isRecorded) throw this.#refusal('is recorded: go_to goes back to each of its instructions')
    return this.#inTurn(call, async () => {
      if (this.#exit !== undefined) throw this.#ended()
      const taken = await this.#pc.checkpoint({ deadlineMs: call.leftMs })
      this.#checkpoint?.close()
      this.#checkpoint = taken
    })
  }

  /** Goes back to the instant that was kept. @returns the ports of forwards that were closed */
  async reset(call: Call): Promise<readonly number[]> {
    return this.#inTurn(call, async () => {
      if (this.#checkpoint === undefined) throw this.#refusal('has no checkpoint to go back to: call checkpoint first')
      // Connections do not survive the change of time.
      const ports = this.forwards.closeAll()
      await this.#agent.leave()
      await this.#checkpoint.reset({ deadlineMs: call.leftMs })
      this.#exit = undefined
      return ports
    })
  }

  /** Goes through the recorded run. */
  async travel<T>(call: Call, action: (debug: PastDebugger) => Promise<T>): Promise<T> {
    const recorded = this.#recorded
    if (recorded === undefined) throw this.#refusal('is not recorded: boot or fork with record: true')
    return this.#inTurn(call, async () => action((this.#travel ??= await recorded.debugger())))
  }

  /** Instructions that the machine has executed. */
  get instructions(): number {
    return this.#pc.domain.instructions
  }

  /** Takes a picture of the machine's screen. @returns a PNG file; undefined if the display is off */
  async screenshot(call: Call): Promise<Uint8Array | undefined> {
    return this.still(call, async ({ screen }) => {
      screen.refresh()
      return screen.width === 0 ? undefined : screen.toPng()
    })
  }

  /** Ends the machine, and calls that wait for it. To be called once. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#standStill()
    await this.#last
    await this.#background.end()
    // A pending connection ends by itself.
    void this.#agent.leave()
    this.#checkpoint?.close()
    await this.#recorded?.end()
    this.#pc.close()
    this.#network?.close()
    await this.disks?.release()
  }

  async #inTurn<T>(call: Call, action: () => Promise<T>): Promise<T> {
    const before = this.#last
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last = before.then(() => promise)
    let isHeld = false
    try {
      await call.wait(before, `the calls before on ${this.facts.name}`)
      if (call.over.aborted) throw call.reason('its turn')
      isHeld = true
      await call.wait(this.#background.hold(), `${this.facts.name} to stand still`)
      if (this.#closing.signal.aborted) throw this.#stopped()
      return await action()
    } finally {
      if (isHeld) this.#background.release()
      resolve()
    }
  }

  /** @param why - the rest of a sentence about the machine: its state, and the remedy */
  #refusal(why: string): ToolError {
    return new ToolError('ERR_STATE', `${this.facts.name} ${why}`)
  }

  #stopped(): ToolError {
    return new ToolError('ERR_MACHINE', `${this.facts.name} was stopped`)
  }

  #ended(): ToolError {
    const how = this.#exit === undefined ? 'it has ended' : describeExit(this.#exit)
    return new ToolError(
      'ERR_ENDED',
      `${this.facts.name} has ended (${how}): read its console, reset it to a checkpoint, or boot another`,
    )
  }
}

const ENDS: ReadonlySet<string> = new Set<MachineExit['reason']>([
  'power-off',
  'reset',
  'debug-exit',
  'triple-fault',
  'guest-crash',
  'suspend',
  'out-of-memory',
  'device-failure',
  'internal-error',
])

function describeExit({ reason, code, detail }: MachineExit): string {
  return `${reason}${code === undefined ? '' : ` ${code}`}${detail === undefined ? '' : `: ${detail.message}`}`
}
