import { DeviceError } from '@retrap/device'
import {
  absentUnit,
  MOST_TRANSFER_BYTES,
  performScsi,
  reportUnits,
  SENSE,
  type ScsiOutcome,
  type ScsiSense,
  type ScsiUnit,
  type ScsiWork,
} from '@retrap/scsi'
import type { VirtioAnswer, VirtioChain } from '../../ring/chain.ts'
import type { VirtioDevice, VirtioHost, VirtioQueueDefinition } from '../../virtio-device.ts'
import { ByteBudget } from '../block/byte-budget.ts'
import { MOST_TARGETS, ScsiConfig, type ScsiEvent, ScsiEvents } from './scsi-events.ts'
import { type Address, addressOf, answerOf, idOf, le32, REQUEST_HEADER, RESPONSE_HEADER } from './scsi-frames.ts'

/** Options of {@link VirtioScsi}. */
export interface VirtioScsiOptions {
  /** Units by target number, 0 to 255. Each is unit 0 of its target. */
  readonly targets: ReadonlyMap<number, ScsiUnit>
  /** Names the device; default `virtio-scsi`. */
  readonly name?: string
  /** Queues of requests, 1 to 64; default 1. */
  readonly queues?: number | undefined
  /** Entries of a queue, a power of two from 4 to 1024; default 256. */
  readonly queueSize?: number
}

/** Saved state of the controller itself. */
interface VirtioScsiState {
  readonly units: readonly (readonly [target: number, state: unknown])[]
  readonly events: unknown
}

const SCSI = 8
const EVENT_QUEUE = 1
/* Feature bits: bidirectional data is not offered, as no command uses it. */
const HOTPLUG = 1
const CHANGE = 2

/* Responses (§5.6.6.1). */
const OK = 0
const OVERRUN = 1
const ABORTED = 2
const BAD_TARGET = 3
const RESET = 4
const FUNCTION_SUCCEEDED = 10
const FUNCTION_REJECTED = 11
const INCORRECT_UNIT = 12
const FUNCTION_COMPLETE = 0

/* Task management (§5.6.6.2). */
const TASK_MANAGEMENT = 0
const ASYNCHRONOUS_QUERY = 1
const ASYNCHRONOUS_SUBSCRIBE = 2
const ABORT_TASK = 0
const ABORT_TASK_SET = 1
const CLEAR_TASK_SET = 3
const NEXUS_RESET = 4
const UNIT_RESET = 5
const QUERY_TASK = 6
const QUERY_TASK_SET = 7

const REPORT_LUNS = 0xa0
const INQUIRY = 0x12
const SHORTEST_COMMAND = 16
/** Host memory for the data of commands under way. */
const BUDGET_BYTES = 64 << 20

/** A command that the medium works at. */
interface Task {
  readonly target: number
  /** The command's identifier from the driver, as text. */
  readonly id: string
  readonly abort: AbortController
  /** The response that the command ends with. */
  response: number
  readonly ended: Promise<void>
}

/**
 * A SCSI controller: each target has one unit, a disk or a CD drive.
 *
 * Source: VIRTIO 1.2, §5.6, "SCSI Host Device".
 */
export class VirtioScsi implements VirtioDevice {
  /** Names the device. */
  readonly name: string
  /** Device type. */
  readonly type: number = SCSI
  /** Control, events, then the queues of requests. */
  readonly queues: readonly VirtioQueueDefinition[]
  /** Targets come and go; media change. */
  readonly features: readonly number[] = [HOTPLUG, CHANGE]
  /** Limits. */
  readonly config: Uint8Array
  readonly #config: ScsiConfig
  readonly #targets: Map<number, ScsiUnit>
  /** By target: takes the listener back from its medium. */
  readonly #watches = new Map<number, () => void>()
  readonly #events = new ScsiEvents()
  readonly #budget = new ByteBudget(BUDGET_BYTES)
  readonly #tasks = new Set<Task>()
  #host: VirtioHost | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ targets, name = 'virtio-scsi', queues = 1, queueSize = 256 }: VirtioScsiOptions) {
    const bad = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${name}: ${what}`)
    if (!Number.isInteger(queues) || queues < 1 || queues > 64) throw bad(`${queues} queues: expected 1 to 64`)
    if (!(queueSize >= 4 && queueSize <= 1024 && Number.isInteger(Math.log2(queueSize))))
      throw bad(`queues of ${queueSize} entries: expected a power of two from 4 to 1024`)
    for (const target of targets.keys())
      if (!isTarget(target)) throw bad(`target ${target}: expected 0 to ${MOST_TARGETS - 1}`)
    this.name = name
    this.#targets = new Map(targets)
    this.#config = new ScsiConfig(queues, queueSize)
    this.config = this.#config.bytes
    this.queues = [
      { size: 64, handle: (chain) => this.#control(chain) },
      { size: 64, notify: (queue) => this.#events.deliver(queue) },
      ...Array.from({ length: queues }, () => ({
        size: queueSize,
        handle: (chain: VirtioChain): VirtioAnswer | Promise<VirtioAnswer> => this.#request(chain),
      })),
    ]
  }

  /** Listens for changes of the media from now on. */
  attach(host: VirtioHost): void {
    this.#host = host
    for (const [target, unit] of this.#targets) this.#watch(target, unit)
  }

  /** Removes the listeners for changes of the media. */
  removed(): void {
    for (const [target, unit] of this.#targets) {
      this.#unwatch(target)
      unit.removed?.()
    }
  }

  #watch(target: number, unit: ScsiUnit): void {
    this.#unwatch(target)
    const unwatch = unit.medium?.onChange(() => {
      if (this.#host?.hasFeature(CHANGE) === true)
        this.#tell(unit.exchanges === undefined ? 'changed' : 'exchanged', target)
    })
    if (unwatch !== undefined) this.#watches.set(target, unwatch)
  }

  #unwatch(target: number): void {
    this.#watches.get(target)?.()
    this.#watches.delete(target)
  }

  #tell(event: ScsiEvent, target: number): void {
    this.#events.add(event, target)
    const queue = this.#host?.queues[EVENT_QUEUE]
    if (queue !== undefined) this.#events.deliver(queue)
  }

  /**
   * Gives a target its unit while the machine runs.
   *
   * @throws DeviceError `ERR_OPTION` for a target that is in use or out of range
   */
  plug(target: number, unit: ScsiUnit): void {
    if (!isTarget(target) || this.#targets.has(target))
      throw new DeviceError(
        'ERR_OPTION',
        `${this.name}: target ${target}: expected a free one, 0 to ${MOST_TARGETS - 1}`,
      )
    this.#targets.set(target, unit)
    this.#watch(target, unit)
    if (this.#host?.hasFeature(HOTPLUG) === true) this.#tell('plugged', target)
  }

  /** Removes a target's unit. Commands under way on it end as aborted. @returns settles when its medium is not used any more */
  async unplug(target: number): Promise<void> {
    const unit = this.#targets.get(target)
    if (unit === undefined) return
    this.#targets.delete(target)
    this.#unwatch(target)
    unit.removed?.()
    if (this.#host?.hasFeature(HOTPLUG) === true) this.#tell('unplugged', target)
    await this.#end((task) => task.target === target, BAD_TARGET)
  }

  /** Takes the sizes of commands and sense data. */
  configWritten(offset: number, bytes: Uint8Array): void {
    this.#config.write(offset, bytes)
  }

  // ---- Commands ----

  #request(chain: VirtioChain): VirtioAnswer | Promise<VirtioAnswer> {
    const { readable, writable } = chain
    const { senseBytes, commandBytes } = this.#config
    const header = readable.slice(0, REQUEST_HEADER)
    const command = new Uint8Array(Math.max(commandBytes, SHORTEST_COMMAND))
    const at = REQUEST_HEADER + commandBytes
    const answerBytes = RESPONSE_HEADER + senseBytes
    if (
      header === null ||
      writable.length < answerBytes ||
      !readable.read(REQUEST_HEADER, command.subarray(0, commandBytes))
    ) {
      // There is no place for an answer, or no request.
      this.#host?.needsReset()
      return 0
    }
    const { target, unit: number } = addressOf(header)
    const end = (response: number, sense: ScsiSense | null, data?: Uint8Array): VirtioAnswer =>
      answerOf(chain, { response, sense, senseBytes, data })
    const unit = this.#targets.get(target)
    if (unit === undefined) return end(BAD_TARGET, null)
    const room = writable.length - answerBytes
    let outcome: ScsiOutcome
    if (command[0] === REPORT_LUNS) outcome = reportUnits(command)
    else if (number === 0) outcome = executeWith(unit, command, { readable, at })
    else outcome = executeAbsent(command, number)
    switch (outcome.kind) {
      case 'good':
        return end(OK, null)
      case 'failed':
        return end(OK, outcome.sense)
      case 'data':
        return end(OK, null, outcome.bytes.subarray(0, Math.min(outcome.most, room)))
      default:
        return this.#work(chain, { unit, target, outcome, id: idOf(header, 8), at, room, end })
    }
  }

  /** Carries out a command on the medium. */
  async #work(
    chain: VirtioChain,
    {
      unit,
      target,
      outcome,
      id,
      at,
      room,
      end,
    }: {
      readonly unit: ScsiUnit
      readonly target: number
      readonly outcome: ScsiWork
      readonly id: string
      /** Offset of the command's data. */
      readonly at: number
      /** Bytes that the driver has room for. */
      readonly room: number
      readonly end: (response: number, sense: ScsiSense | null, data?: Uint8Array) => VirtioAnswer
    },
  ): Promise<VirtioAnswer> {
    const { medium, blockBytes } = unit
    if (medium === null) return end(OK, SENSE.noMedium)
    const reads = outcome.kind === 'blocks'
    const carries = reads || outcome.kind === 'write'
    const bytes = carries ? outcome.count * blockBytes : 0
    if (bytes > MOST_TRANSFER_BYTES) return end(OK, SENSE.badField)
    // The driver's buffer is too small: nothing is moved.
    if (bytes > (reads ? room : chain.readable.length - at)) return end(OVERRUN, null)
    let ended = (): void => {}
    const abort = new AbortController()
    const { exchanges } = unit
    const task: Task = { target, id, abort, response: OK, ended: new Promise((resolve) => (ended = resolve)) }
    this.#tasks.add(task)
    const cancel = (): void => abort.abort()
    chain.signal.addEventListener('abort', cancel)
    await this.#budget.take(bytes)
    let kept = false
    try {
      const data = reads ? new Uint8Array(bytes) : chain.readable.slice(at, bytes)
      if (data === null || abort.signal.aborted) return end(task.response || ABORTED, null)
      const sense = await performScsi(outcome, { medium, blockBytes, data }, abort.signal)
      if (task.response !== OK) return end(task.response, null)
      // Parts of the data may be of one disc, and parts of another.
      if (unit.exchanges !== exchanges) return end(OK, unit.senseOfExchange?.() ?? SENSE.mediumChanged)
      if (!reads || sense !== null || chain.cancelled) return end(OK, sense)
      kept = true
      return this.#later(chain, bytes, end(OK, null, data))
    } finally {
      if (!kept) this.#budget.give(bytes)
      chain.signal.removeEventListener('abort', cancel)
      this.#tasks.delete(task)
      ended()
    }
  }

  /** Data stays in host memory until the answer takes effect, or nobody waits for it. */
  #later(chain: VirtioChain, bytes: number, answer: VirtioAnswer): VirtioAnswer {
    const give = (): void => this.#budget.give(bytes)
    chain.signal.addEventListener('abort', give)
    return () => {
      chain.signal.removeEventListener('abort', give)
      give()
      return typeof answer === 'function' ? answer() : answer
    }
  }

  // ---- Control ----

  #control(chain: VirtioChain): VirtioAnswer | Promise<VirtioAnswer> {
    const { readable, writable } = chain
    const request = readable.slice(0, readable.length >= 24 ? 24 : Math.min(readable.length, 16))
    const type = request === null || request.length < 16 ? -1 : le32(request, 0)
    if (type === TASK_MANAGEMENT && request!.length === 24 && writable.length >= 1)
      return this.#manage(request!, writable)
    if ((type === ASYNCHRONOUS_QUERY || type === ASYNCHRONOUS_SUBSCRIBE) && writable.length >= 5)
      // No unit has events of that kind.
      return () => (writable.write(0, Uint8Array.of(0, 0, 0, 0, OK)) ? 5 : 0)
    this.#host?.needsReset()
    return 0
  }

  async #manage(request: Uint8Array, writable: VirtioChain['writable']): Promise<VirtioAnswer> {
    const response = await this.#managed(le32(request, 4), addressOf(request.subarray(8)), idOf(request, 16))
    return () => (writable.write(0, Uint8Array.of(response)) ? 1 : 0)
  }

  async #managed(kind: number, { target, unit }: Address, id: string): Promise<number> {
    const found = this.#targets.get(target)
    if (found === undefined) return BAD_TARGET
    if (unit !== 0 && kind !== NEXUS_RESET) return INCORRECT_UNIT
    const here = (task: Task): boolean => task.target === target
    const one = (task: Task): boolean => here(task) && task.id === id
    switch (kind) {
      case ABORT_TASK:
        await this.#end(one, ABORTED)
        return FUNCTION_COMPLETE
      case ABORT_TASK_SET:
      case CLEAR_TASK_SET:
        await this.#end(here, ABORTED)
        return FUNCTION_COMPLETE
      case NEXUS_RESET:
      case UNIT_RESET:
        await this.#end(here, RESET)
        found.powerOn()
        return FUNCTION_COMPLETE
      case QUERY_TASK:
      case QUERY_TASK_SET:
        return [...this.#tasks].some(kind === QUERY_TASK ? one : here) ? FUNCTION_SUCCEEDED : FUNCTION_COMPLETE
      default:
        return FUNCTION_REJECTED
    }
  }

  /** Ends commands that the media work at. */
  async #end(which: (task: Task) => boolean, response: number): Promise<void> {
    const tasks = [...this.#tasks].filter(which)
    for (const task of tasks) {
      task.response = response
      task.abort.abort()
    }
    await Promise.all(tasks.map(({ ended }) => ended))
  }

  // ---- Machine ----

  /** Returns units and limits to their state at power-on. Commands under way are cancelled. */
  reset(): void {
    this.#config.reset()
    this.#events.reset()
    for (const unit of this.#targets.values()) unit.powerOn()
  }

  /** Whether commands wait for host memory that answers hold. */
  waitsForAnswers(): boolean {
    return this.#budget.isShort
  }

  /** Whether no event waits although buffers are available. */
  isAtRest(): boolean {
    return this.#events.isEmpty || this.#host?.queues[EVENT_QUEUE]?.isEmpty !== false
  }

  /** Delivers events that the driver had no room for. */
  resume(): void {
    const queue = this.#host?.queues[EVENT_QUEUE]
    if (queue !== undefined) this.#events.deliver(queue)
  }

  /** Returns the state of the units, and events that wait. */
  save(): unknown {
    const units = [...this.#targets].map(([target, unit]) => [target, unit.save()] as const)
    return { units, events: this.#events.save() } satisfies VirtioScsiState
  }

  /** Restores the state that `save` returned. @throws DeviceError `ERR_STATE` for other targets */
  restore(state: unknown): void {
    const { units, events } = state as VirtioScsiState
    const expected = [...this.#targets.keys()].join(', ')
    const found = units.map(([target]) => target).join(', ')
    if (found !== expected)
      throw new DeviceError('ERR_STATE', `${this.name}: the saved state has targets ${found}: expected ${expected}`)
    for (const [target, unit] of units) this.#targets.get(target)!.restore(unit as never)
    this.#events.restore(events)
  }
}

const isTarget = (target: number): boolean => Number.isInteger(target) && target >= 0 && target < MOST_TARGETS

/** Executes a command of an existing unit, with its parameters if the driver has sent all of them. */
function executeWith(
  unit: ScsiUnit,
  command: Uint8Array,
  { readable, at }: { readonly readable: VirtioChain['readable']; readonly at: number },
): ScsiOutcome {
  const wanted = unit.parameterBytes(command)
  const parameters = wanted > 0 && wanted <= readable.length - at ? readable.slice(at, wanted) : null
  return unit.execute(command, parameters ?? undefined)
}

/** Executes a command of a unit that is not there. @param number - −1: the address is in no form that is known */
function executeAbsent(command: Uint8Array, number: number): ScsiOutcome {
  if (number < 0 || command[0] !== INQUIRY) return { kind: 'failed', sense: SENSE.noUnit }
  return { kind: 'data', bytes: absentUnit(), most: (command[3]! << 8) | command[4]! }
}
