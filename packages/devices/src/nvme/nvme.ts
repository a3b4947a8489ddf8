import {
  type AccessSize,
  type BlockBackend,
  type DeviceContext,
  type DeviceModel,
  LateAnswers,
  type LateRequest,
  listed,
  type PciFunction,
  type PlainState,
  SpareBuffers,
  Stateful,
  type Timer,
} from '@retrap/device'
import { LATER, NO_COUNTERS, NvmeAdmin } from './admin-commands.ts'
import { type NvmeCommand, STATUS } from './command.ts'
import * as controllerRegisters from './controller-registers.ts'
import { ControllerRegisters } from './controller-registers.ts'
import { scatter } from './data-pointer.ts'
import { type FeatureResult, NvmeFeatures } from './features.ts'
import { type NvmeNames, VENDOR_ID } from './identify.ts'
import {
  failureOf,
  type NvmeAnswer,
  type NvmeJob,
  type NvmeJobState,
  perform,
  performInPlace,
  readCommand,
  restoredJob,
  savedJob,
  SHUTDOWN,
} from './io-commands.ts'
import { checkOptions, type NvmeOptions } from './nvme-options.ts'
import { ADMIN, QueueSet } from './queue-set.ts'
import type { SubmissionQueue } from './queues.ts'

const BAR = 0
const BAR_BYTES = 0x4000
const MSIX_TABLE = 0x2000
const DEVICE_ID = 0x0010
/** Mass storage, non-volatile memory, NVM Express. */
const CLASS = 0x01_0802
/** Most open commands of I/O queues: each may hold 512 KiB. */
const MOST_OPEN = 64
/** Commands that are begun at a time; more are begun after the pause. */
const BATCH = 64
const PAUSE_NS = 10_000

/**
 * A controller of NVM Express with one namespace. Registers answer at once; commands take their time, and end in any order.
 *
 * Source: NVM Express Base Specification 1.4.
 */
export class Nvme extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** Handlers answer at once. */
  readonly synchronous: boolean = true
  readonly #bus: string | undefined
  readonly #device: number
  readonly #medium: BlockBackend
  #unwatch: (() => void) | undefined
  readonly #names: NvmeNames
  /** Pairs of I/O queues. */
  readonly #most: number
  readonly #queues: QueueSet
  readonly #features: NvmeFeatures
  readonly #counters = { ...NO_COUNTERS }
  readonly #spare = new SpareBuffers()
  readonly #registers = new ControllerRegisters(
    () => this.#drivePin(),
    (before, now) => this.#configured(before, now),
  )
  #context!: DeviceContext
  #pci!: PciFunction
  #requests!: LateAnswers<NvmeJob, NvmeAnswer>
  #admin!: NvmeAdmin
  /** Timer that begins the commands left over. */
  #later!: Timer
  /** The end of a reset of the controller. */
  #disabling!: Timer
  /** A snapshot is being made: nothing reaches the guest. */
  #isPaused = false

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: NvmeOptions) {
    super()
    const { name, bus, device, medium, queues, names } = checkOptions(options)
    this.name = name
    this.#bus = bus
    this.#device = device
    this.#medium = medium
    this.#names = names
    this.#most = queues
    this.#queues = new QueueSet(queues, queues + 1)
    this.#features = new NvmeFeatures(queues, queues + 1)
    this.keeps(
      {
        version: 2,
        registers: this.#registers.state,
        queues: (): QueueSet => this.#queues,
        features: (): Map<number, number> => this.#features.values,
        admin: () => this.#admin,
        counters: listed(this.#counters),
        requests: {
          save: () =>
            this.#requests.save().map(({ request, answer, deadline }) => ({
              job: savedJob(request, answer),
              ...(answer !== undefined && { answer }),
              deadline,
            })),
          restore: (
            requests: readonly (Omit<LateRequest<unknown, NvmeAnswer>, 'request'> & { job: NvmeJobState })[],
          ): void =>
            this.#requests.restore(
              requests.map(({ job, answer, deadline }) => ({
                request: restoredJob(job, this.#spare),
                answer,
                deadline,
              })),
            ),
        },
        later: () => this.#later,
        /** Whether the controller is being disabled. */
        disabling: () => this.#disabling,
      },
      { recent: ['later', 'disabling'] },
    )
  }

  /** Adds the PCI function. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#requests = new LateAnswers(context, {
      ask: (job, signal) => perform(job, this.#medium, signal),
      answer: (job, answer) => this.#answered(job, answer),
      mayAnswer: () => this.#pci.mayMaster,
    })
    this.#later = context.timer(() => this.#pump())
    this.#disabling = context.timer(() => this.#endReset())
    this.#admin = new NvmeAdmin({
      dma: context.dma,
      queues: this.#queues,
      features: this.#features,
      counters: this.#counters,
      names: this.#names,
      properties: () => this.#medium.properties,
    })
    this.#unwatch = this.#medium.onChange(() => {
      this.#admin.mediumChanged()
      this.#settle()
    })
    this.#pci = context.pci.add({
      bus: this.#bus ?? 0,
      device: this.#device,
      vendorId: VENDOR_ID,
      deviceId: DEVICE_ID,
      revisionId: 2,
      classCode: CLASS,
      subsystemVendorId: VENDOR_ID,
      interruptPin: 1,
      msix: { vectors: this.#most + 1, table: { bar: BAR, offset: MSIX_TABLE } },
      bars: [
        {
          index: BAR,
          kind: 'memory64',
          bytes: BAR_BYTES,
          minimumAccess: 4,
          handler: {
            read: (offset: number): number =>
              offset < controllerRegisters.DOORBELLS ? this.#registers.read(offset) : 0,
            write: (offset: number, _size: AccessSize, value: number): void => {
              if (offset < controllerRegisters.DOORBELLS) this.#registers.write(offset, value)
              else this.#ring((offset - controllerRegisters.DOORBELLS) >> 2, value & 0xffff)
            },
          },
        },
      ],
      onWrite: () => {
        // Memory may be reached again, or message interrupts have taken the place of the pin.
        this.#requests.proceed()
        this.#pump()
      },
    })
  }

  /** Removes the listener for changes of the medium. */
  removed(): void {
    this.#unwatch?.()
  }

  #configured(before: number, now: number): void {
    const registers = this.#registers
    if ((before & controllerRegisters.ENABLE) !== 0 && !registers.isEnabled) this.#disable()
    else if (registers.isEnabled && (registers.r.status & controllerRegisters.READY) === 0) this.#enable()
    if ((now & controllerRegisters.SHUTDOWN_NOTICE) === 0 || (before & controllerRegisters.SHUTDOWN_NOTICE) !== 0)
      return
    // While a reset has not ended READY is still set, and there is nothing to flush.
    const isRunning = registers.isEnabled && this.#queues.completions.size > 0
    // One flush at a time, however often the guest asks.
    if (isRunning && (registers.r.status & controllerRegisters.SHUTDOWN_STATUS) === controllerRegisters.SHUTTING_DOWN)
      return
    registers.r.status =
      (registers.r.status & ~controllerRegisters.SHUTDOWN_STATUS) |
      (isRunning ? controllerRegisters.SHUTTING_DOWN : controllerRegisters.SHUT_DOWN)
    if (isRunning) this.#requests.start(SHUTDOWN)
  }

  #enable(): void {
    const { submissions, completions, selections } = this.#registers
    this.#registers.r.status &= ~controllerRegisters.SHUTDOWN_STATUS
    if (selections !== 0 || submissions.size < 2 || completions.size < 2) {
      this.#registers.r.status |= controllerRegisters.FATAL
      return
    }
    this.#queues.createAdmin(submissions, completions)
    this.#registers.r.status |= controllerRegisters.READY
  }

  /** A reset of the controller. The guest is notified of its end once the host is busy with nothing of before. */
  #disable(): void {
    this.#clear()
    this.#disabling.armAfter(PAUSE_NS)
  }

  #clear(): void {
    this.#requests.cancel()
    this.#later.cancel()
    this.#queues.clear()
    this.#features.values.clear()
    this.#admin.reset()
    this.#registers.r.masked = 0
    this.#drivePin()
  }

  /** Waits until the host is busy with nothing of before, and ends a reset. */
  async #endReset(): Promise<void> {
    while (this.#requests.busy && this.#queues.completions.size === 0) await this.#requests.ended()
    this.#disabled()
  }

  #disabled(): void {
    // The controller may have been reset, or disabled again, meanwhile.
    if (this.#queues.completions.size > 0 || this.#disabling.deadlineNs !== Infinity) return
    this.#registers.r.status &= ~(
      controllerRegisters.READY |
      controllerRegisters.FATAL |
      controllerRegisters.SHUTDOWN_STATUS
    )
    if (this.#registers.isEnabled) this.#enable()
  }

  /** A doorbell: of even number a submission queue's tail, of odd number a completion queue's head. */
  #ring(doorbell: number, value: number): void {
    const id = doorbell >> 1
    if ((doorbell & 1) === 0) {
      if (this.#queues.submissions.get(id)?.setTail(value) === true) this.#pump()
    } else if (this.#queues.completions.get(id)?.setHead(value) === true) this.#pump()
  }

  /** Begins commands, from each queue in turn. */
  #pump(): void {
    if (this.#isPaused) return
    if (!this.#pci.mayMaster) {
      this.#drivePin()
      return
    }
    let left = BATCH
    for (let goesOn = true; goesOn;) {
      goesOn = false
      for (const queue of this.#queues.submissions.values()) {
        if (!queue.isReady || (queue.id !== ADMIN && this.#requests.count >= MOST_OPEN)) continue
        if (left-- === 0) {
          this.#later.armAfter(PAUSE_NS)
          goesOn = false
          break
        }
        goesOn = true
        this.#begin(queue)
      }
    }
    this.#settle()
  }

  #begin(queue: SubmissionQueue): void {
    const command = queue.fetch(this.#context.dma)
    if (command === null) {
      // The content of a queue outside of RAM is unknown, and so are its commands' identifiers.
      this.#registers.r.status |= controllerRegisters.FATAL
    } else if (queue.id === ADMIN) {
      const outcome = this.#admin.execute(command)
      if (outcome !== LATER) this.#complete(queue, command.id, outcome)
    } else this.#start(queue, command)
  }

  #start(queue: SubmissionQueue, command: NvmeCommand): void {
    const read = readCommand(command, this.#medium.properties, this.#context.dma, this.#spare)
    if (typeof read === 'number') return this.#complete(queue, command.id, { status: read, result: 0 })
    const job = this.#features.hasWriteCache ? read : { ...read, durable: true }
    const answer = this.#requests.mayAnswerAtOnce ? performInPlace(job, this.#medium) : undefined
    if (answer === undefined) this.#requests.start(job)
    else {
      this.#end(job, answer)
      this.#giveBack(job)
    }
  }

  /** The medium has answered. */
  #answered(job: NvmeJob, answer: NvmeAnswer): void {
    this.#end(job, answer)
    // After a failure the medium may still have a view of the data.
    if (typeof answer !== 'string') this.#giveBack(job)
    this.#pump()
  }

  #giveBack({ data }: NvmeJob): void {
    if (data.length > 0) this.#spare.give(data)
  }

  #end(job: NvmeJob, answer: NvmeAnswer): void {
    const { command } = job
    if (command === null)
      this.#registers.r.status =
        (this.#registers.r.status & ~controllerRegisters.SHUTDOWN_STATUS) | controllerRegisters.SHUT_DOWN
    else {
      const queue = this.#queues.submissions.get(command.queue)
      if (queue !== undefined) this.#complete(queue, command.id, { status: this.#statusOf(job, answer), result: 0 })
    }
  }

  #statusOf({ kind, data, pieces, ranges }: NvmeJob, answer: NvmeAnswer): number {
    if (typeof answer === 'string') return failureOf(kind, answer)
    if (!answer) return STATUS.COMPARE_FAILURE
    const bytes = ranges[0]?.bytes ?? 0
    if (kind === 'read') {
      this.#counters.reads++
      this.#counters.readBytes += bytes
      return scatter(this.#context.dma, pieces, data) ? STATUS.SUCCESS : STATUS.DATA_TRANSFER_ERROR
    }
    if (kind === 'write') {
      this.#counters.writes++
      this.#counters.writtenBytes += bytes
    }
    return STATUS.SUCCESS
  }

  #complete(queue: SubmissionQueue, id: number, { status, result }: FeatureResult): void {
    queue.completions.waiting.push([result, 0, queue.head + queue.id * 0x1_0000, id + status * 0x2_0000])
  }

  /** Deletes queues without open commands, reports events, and publishes completions. */
  #settle(): void {
    const admin = this.#queues.submissions.get(ADMIN)
    if (admin === undefined || this.#isPaused || !this.#pci.mayMaster) return
    for (const queue of this.#queues.submissions.values()) {
      if (queue.deletion === null || this.#requests.some(({ command }) => command?.queue === queue.id)) continue
      this.#queues.submissions.delete(queue.id)
      this.#complete(admin, queue.deletion.id, { status: STATUS.SUCCESS, result: 0 })
    }
    const event = this.#admin.takeEvent()
    if (event !== null) this.#complete(admin, event.id, { status: STATUS.SUCCESS, result: event.result })
    for (const queue of this.#queues.completions.values())
      if (queue.flush(this.#context.dma) && queue.interrupts) this.#pci.messages?.signal(queue.vector)
    this.#drivePin()
  }

  /** The pin is used while the guest has no message interrupts on. */
  #drivePin(): void {
    const pin = this.#pci.interrupt
    if (pin === null) return
    let level = false
    if ((this.#pci.messages?.mode ?? 'none') === 'none') {
      for (const { isPending, interrupts, vector } of this.#queues.completions.values())
        level ||= isPending && interrupts && (vector > 31 || ((this.#registers.r.masked >>> vector) & 1) === 0)
    }
    pin.set(level)
  }

  /** Cancels pending work, and resets to power-on state. */
  override reset(): void {
    this.#clear()
    this.#disabling.cancel()
    this.#registers.state.reset?.()
    Object.assign(this.#counters, NO_COUNTERS)
  }

  /** Waits for requests that the medium is executing. Nothing is answered to the guest until `resume`. */
  async quiesce(): Promise<void> {
    this.#isPaused = true
    await this.#requests.pause()
  }

  /** Answers again. */
  resume(): void {
    this.#isPaused = false
    this.#requests.resume()
    // If commands are left over, their timer begins them.
    if (this.#later.deadlineNs === Infinity) this.#pump()
    else this.#settle()
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  override restore(state: unknown): void {
    super.restore(state)
    const isReset = (this.#registers.r.status & controllerRegisters.READY) !== 0 && !this.#registers.isEnabled
    if ((state as PlainState)['disabling'] === undefined && isReset) this.#disabling.armAfter(PAUSE_NS)
  }
}
