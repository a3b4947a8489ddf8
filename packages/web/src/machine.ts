import type { KeyboardLayoutName } from '@retrap/display'
import type { MachineExit } from '@retrap/machine'
import { attachCanvas, type CanvasOptions } from './canvas.ts'
import { debuggerBy, type PageDebugger } from './debugger.ts'
import { answerForDisks } from './disk-holders.ts'
import { WebError } from './errors.ts'
import type { AddressView, CompiledView, Impairment, MachineView } from './inspection.ts'
import { filesBy, type MachineFiles } from './files.ts'
import { Listeners, type MachineEvents } from './machine-events.ts'
import type { MachineOptions, NetworkOptions, Source } from './options.ts'
import { Packer } from './packer.ts'
import { Picture } from './picture.ts'
import { PrintedBytes, attachTerminal, type TerminalLike } from './terminal.ts'
import type { KeyChange, MachineState, MachineStatistics, PointerChange } from './protocol.ts'
import { sentNetwork, sentOptions, sentSource } from './sent-options.ts'
import { startMachineWorker, type WorkerEvent, WorkerLink } from './worker-link.ts'

/** Whether the page shares memory with its Workers. WebKitGTK isolates pages, and gives them no SharedArrayBuffer. */
const sharesMemory = (): boolean => crossOriginIsolated && typeof SharedArrayBuffer === 'function'

/** The advice for a page that is not cross-origin isolated. */
const NOT_ISOLATED =
  'retrap: this page is not cross-origin isolated, so it has no shared memory: pixels are copied on their way to the page, ' +
  "several vCPUs take turns, and the guest's clock is coarser (0.1 ms). The headers Cross-Origin-Opener-Policy: same-origin and " +
  'Cross-Origin-Embedder-Policy: require-corp give all of it.'

const LONGEST_DELAY_MS = 60_000

let toldOfIsolation = false

/**
 * Makes a PC in a Worker of its own. The machine is off: `run` switches it on.
 *
 * @throws WebError `ERR_OPTION` for options that make no machine; `ERR_SOURCE` for an image that cannot be read; `ERR_WORKER`
 */
export async function createMachine(options: MachineOptions): Promise<Machine> {
  return Machine.create(options)
}

/** @throws WebError `ERR_OPTION` */
function checkDelay(ms: number): void {
  if (!(ms >= 0 && ms <= LONGEST_DELAY_MS))
    throw new WebError('ERR_OPTION', `a delay of ${ms} ms: expected 0 to ${LONGEST_DELAY_MS}`)
}

/** A PC in a page. Made by {@link createMachine}. */
export class Machine {
  readonly #link: WorkerLink
  readonly #events = new Listeners<MachineEvents>()
  /** The parts that were attached, and go with the machine. */
  readonly #attached = new Set<() => void>()
  /** Files that the guest shares with the page, with the option `files`. */
  readonly files: MachineFiles = filesBy((call, ...given) => this.#link.call(call, ...given))
  /** Goes back through a recorded run, and on again. Loaded when it is first used. */
  readonly debugger: PageDebugger = debuggerBy((call, ...given) => this.#link.call(call, ...given))
  #state: MachineState = 'off'
  #pointer: MachineEvents['pointer'] = 'none'
  readonly #picture = new Picture({
    watch: (on) => this.#link.tell({ tell: 'watch', on }),
    drawn: () => this.#link.tell({ tell: 'drawn' }),
    resized: (size) => this.#events.tell('resize', size),
  })
  readonly #packer = new Packer()
  #console: Uint8Array | null = null
  #turns: string | null = null
  readonly #printed = new PrintedBytes((bytes) => this.#link.tell({ tell: 'printed', bytes }))
  #ended: PromiseWithResolvers<MachineExit> | null = null

  private constructor(worker: Worker) {
    this.#link = new WorkerLink(
      worker,
      (event) => this.#told(event),
      (error) => this.#over({ reason: 'internal-error', detail: { message: error.message } }),
    )
  }

  /** @internal Use {@link createMachine}. */
  static async create(options: MachineOptions): Promise<Machine> {
    const { transport = 'auto', onProgress, signal, createWorker = startMachineWorker } = options
    if (transport === 'shared' && !sharesMemory()) {
      const why = crossOriginIsolated
        ? 'this browser has no SharedArrayBuffer'
        : 'this page is not cross-origin isolated'
      throw new WebError('ERR_OPTION', `transport 'shared': ${why}; use 'auto'`)
    }
    if (transport === 'auto' && !crossOriginIsolated && !toldOfIsolation) {
      toldOfIsolation = true
      console.info(NOT_ISOLATED)
    }
    const sent = sentOptions(options, transport !== 'messages' && sharesMemory())
    signal?.throwIfAborted()
    // Browsers may evict data unless asked to keep it. Some browsers ask the user first, who may take long.
    if (options.drives?.some(({ keep }) => keep !== undefined) === true)
      (navigator as Partial<Navigator>).storage?.persist().catch(() => false)
    const machine = new Machine(createWorker())
    if (onProgress !== undefined) machine.on('progress', onProgress)
    const giveUp = (): void => machine.dispose()
    signal?.addEventListener('abort', giveUp)
    try {
      const { lock, turns } = await machine.#link.call('open', sent)
      machine.#turns = turns
      machine.#link.watch(lock)
      const kept = options.drives?.flatMap(({ keep }) => keep ?? []) ?? []
      if (kept.length > 0) machine.#attach(answerForDisks(kept))
      return machine
    } catch (error) {
      machine.dispose()
      signal?.throwIfAborted()
      throw error
    } finally {
      signal?.removeEventListener('abort', giveUp)
    }
  }

  /** Calls `listener` at each event of that name. @returns a function that removes the listener */
  on<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): () => void {
    return this.#events.add(event, listener)
  }

  /** The machine's activity. */
  get state(): MachineState {
    return this.#state
  }

  /** The picture's size; 0 × 0 while the display is off, or is shown nowhere. */
  get screenSize(): { readonly width: number; readonly height: number } {
    return this.#picture.size
  }

  /** The serial output that a machine resumed from a snapshot had printed; null once it has printed more. */
  get console(): Uint8Array | null {
    return this.#console
  }

  /** Why several vCPUs take turns, as a sentence, where they would have threads in another page or browser; otherwise null. */
  get turns(): string | null {
    return this.#turns
  }

  /** Which pointer the guest drives, as it was when the page's pointer last moved. */
  get pointer(): 'none' | 'relative' | 'absolute' {
    return this.#pointer
  }

  /**
   * Switches the machine on, or resumes it after `pause`.
   *
   * @returns resolves when the machine is off again, with the reason; a pause is no end
   * @throws WebError `ERR_DISPOSED`
   */
  run(): Promise<MachineExit> {
    const promise = this.#end()
    this.#link.call('run').catch((error: unknown) => this.#fail(error))
    return promise
  }

  /** Stops the machine between two instructions. Resolves when it has stopped. */
  async pause(): Promise<void> {
    await this.#link.call('pause')
  }

  /** Restarts the machine like its reset button, and runs it. Disks keep written data. */
  async reset(): Promise<void> {
    void this.#end()
    await this.#link.call('reset')
  }

  #end(): Promise<MachineExit> {
    const { promise } = (this.#ended ??= Promise.withResolvers<MachineExit>())
    // A page that does not await the run learns of its end from the event `exit`.
    promise.catch(() => {})
    return promise
  }

  /** Presses the power button. @returns whether the guest has enabled its event */
  powerButton(): Promise<boolean> {
    return this.#link.call('powerButton')
  }

  /** Sends bytes, or text in UTF-8, to the guest's serial port. */
  write(data: string | Uint8Array): void {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data.slice()
    if (bytes.length > 0)
      this.#link.tell({ tell: 'serial', bytes: bytes as Uint8Array<ArrayBuffer> }, [bytes.buffer as ArrayBuffer])
  }

  /**
   * Types a text on the keyboard.
   *
   * @param options.layout - layout of the guest's keyboard; default `MachineOptions.layout`
   * @returns whether the guest has taken the whole text
   * @throws WebError `ERR_OPTION` for a character that the layout does not have; then nothing is typed
   */
  type(text: string, options: { readonly layout?: KeyboardLayoutName } = {}): Promise<boolean> {
    return this.#link.call('type', text, options.layout)
  }

  /** Presses and releases keys, by the names of `KeyboardEvent.code`. Names that no PC has are passed over. */
  sendKeys(keys: readonly KeyChange[]): void {
    this.#link.tell({ tell: 'keys', keys })
  }

  /** Moves the mouse, presses its buttons, or turns its wheel. */
  sendPointer(events: readonly PointerChange[]): void {
    this.#link.tell({ tell: 'pointer', events })
  }

  /** Returns the text of a text mode, without blanks at the ends of its rows; null while it is graphics, or off. */
  screenText(): Promise<string | null> {
    return this.#link.call('screenText')
  }

  /** Counts since power-on. @throws WebError `ERR_MACHINE` for a machine that is off */
  statistics(): Promise<MachineStatistics> {
    return this.#link.call('statistics')
  }

  /** Looks at vCPUs, devices, interrupts and the map of memory, without changing anything. @throws WebError `ERR_MACHINE` for a machine that is off */
  inspect(): Promise<MachineView> {
    return this.#link.call('inspect')
  }

  /**
   * Follows a linear address to memory, without changing anything: the page walk level by level, the vCPU's cached entries, the page
   * of the guest's map, and the devices that have it mapped.
   *
   * @param cpu - number of the vCPU; default 0
   * @throws WebError `ERR_MACHINE` for a machine that is off
   */
  inspectAddress(address: bigint, cpu = 0): Promise<AddressView> {
    return this.#link.call('inspectAddress', address, cpu)
  }

  /**
   * Has each read of a disk take this much longer from now on. The guest waits, and nothing else does.
   *
   * @param ms - milliseconds, 0 to 60,000
   * @throws WebError `ERR_OPTION`
   */
  setDiskDelay(ms: number): void {
    checkDelay(ms)
    this.#link.tell({ tell: 'diskDelay', ms })
  }

  /**
   * Saves all of the machine, with its guest's writes to disks, as a file for `restore`, for `MachineOptions.snapshot` of another machine,
   * and for `retrap restore`. A machine that runs stands still for a moment; a Worker of its own makes the file. After the first time,
   * only memory that the guest has written since is read and compressed: the last file is kept for that.
   *
   * @throws WebError `ERR_MACHINE` for a machine that is off, or that cannot be saved
   */
  save(): Promise<Blob> {
    return this.#packer.fileOf((since) => this.#link.call('save', since))
  }

  /**
   * Goes back, or forward, to a snapshot of this machine, or of one with the same options. A running machine continues from the
   * snapshot; a paused machine, or one that is off, is paused at it until `run`. Disks get their contents of that instant.
   *
   * @throws WebError `ERR_SOURCE` for a snapshot that cannot be read, and `ERR_MACHINE` for one of a machine with other memory,
   * vCPUs or board: the machine is as it was; `ERR_MACHINE` for one of a machine with other devices: this one is off then
   */
  async restore(snapshot: Source): Promise<void> {
    await this.#link.call('restore', sentSource('snapshot', snapshot))
  }

  /** Has each read of a disk fail from now on, or no more: the guest sees an I/O error. */
  setDisksFail(fail: boolean): void {
    this.#link.tell({ tell: 'diskFailure', on: fail })
  }

  /**
   * Makes a device slow, or dead, from now on, or with `{}` as it was. Everything else runs on, and the guest executes exactly
   * the same instructions.
   *
   * @param name - a name from `inspect().devices`
   * @throws WebError `ERR_OPTION` for a delay out of range or a device that does not exist; `ERR_MACHINE` for a machine that is off
   */
  async impairDevice(name: string, impairment: Impairment): Promise<void> {
    checkDelay(impairment.delayMs ?? 0)
    await this.#link.call('impairDevice', name, impairment)
  }

  /** The guest code that was compiled last, the newest first; at most 64 units. */
  compiledCode(): Promise<CompiledView[]> {
    return this.#link.call('compiledCode')
  }

  /**
   * Executes one instruction of a vCPU, and pauses the machine.
   *
   * @returns whether it was executed: false where the vCPU waits for an interrupt, or for a slow device
   * @throws WebError `ERR_MACHINE` for a machine that is off
   */
  step(vcpu = 0): Promise<boolean> {
    return this.#link.call('step', vcpu)
  }

  /**
   * Connects the network card's cable to another network at any time. The card and its address stay.
   *
   * @throws WebError `ERR_OPTION`; `ERR_MACHINE` for a machine that was made without the option `network`
   */
  async connectNetwork(network: NetworkOptions): Promise<void> {
    await this.#link.call('connectNetwork', sentNetwork(network))
  }

  /**
   * Attaches device models that run elsewhere, such as in a sandboxed frame, where the other end of the port calls
   * `serveMessages` of `@retrap/device-hosting`. They are there until `detachDevices`, or until the machine starts anew, ends or goes back.
   * A model that fails is taken out, with a `warning`; the machine runs on. With them it cannot be saved. While the machine is
   * recorded, they come and go when it runs on.
   *
   * @param name - the devices' name for errors
   * @throws WebError `ERR_MACHINE` for a machine that is off, for a name in use, and if the models do not start in time
   */
  async attachDevices(name: string, port: MessagePort): Promise<void> {
    await this.#link.call('attachDevices', name, port)
  }

  /** Removes devices: reads of their registers then give ones. @returns whether any had that name */
  detachDevices(name: string): Promise<boolean> {
    return this.#link.call('detachDevices', name)
  }

  /** Puts a medium into a CD or floppy drive, or takes it out with null. @throws WebError `ERR_SOURCE`, `ERR_MACHINE` */
  async insert(drive: string, source: Source | null): Promise<void> {
    await this.#link.call('insert', drive, source === null ? null : sentSource(drive, source))
  }

  /**
   * Shows the screen on a canvas, which gets the picture's size in pixels; and has the canvas's keys, mouse and touch go to the
   * guest.
   *
   * @returns a function that ends it, and removes all listeners
   */
  attachCanvas(canvas: HTMLCanvasElement, options: CanvasOptions = {}): () => void {
    return this.#attach(attachCanvas(this, canvas, options, (draw) => this.#picture.watch(draw)))
  }

  /** Connects a terminal, such as one of xterm.js, to the serial port. @returns a function that disconnects it */
  attachTerminal(terminal: TerminalLike): () => void {
    return this.#attach(attachTerminal(this, terminal, this.#printed.open()))
  }

  /**
   * Has the sound of the machine go to a node of an audio graph, such as the `destination` of an `AudioContext` that a click has
   * started: that of its sound card, with the option `sound`, and of the PC speaker. Nothing waits for it: sound that is late is
   * left out.
   *
   * @returns a function that ends the connection
   * @throws WebError `ERR_DISPOSED`
   */
  async attachSound(destination: AudioNode): Promise<() => void> {
    const { connectSound } = await import('./sound.ts')
    return this.#attach(await connectSound((port) => this.#link.call('hear', port), destination))
  }

  #attach(detach: () => void): () => void {
    const once = (): void => {
      if (this.#attached.delete(once)) detach()
    }
    this.#attached.add(once)
    return once
  }

  /** Ends the machine at once, with its Worker and its memory, and removes all listeners. Disks lose their writes. */
  dispose(): void {
    const error = new WebError('ERR_DISPOSED', 'the machine was disposed')
    this.#link.close(error)
    for (const detach of [...this.#attached]) detach()
    this.#fail(error)
    this.#packer.close()
    this.#state = 'off'
    this.#events.clear()
  }

  /** Calls `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  #fail(error: unknown): void {
    this.#ended?.reject(error)
    this.#ended = null
  }

  #over(exit: MachineExit): void {
    this.#setState('off')
    this.#ended?.resolve(exit)
    this.#ended = null
    this.#events.tell('exit', exit)
  }

  #setState(state: MachineState): void {
    if (state === this.#state) return
    this.#state = state
    this.#events.tell('state', state)
  }

  #told(message: WorkerEvent): void {
    switch (message.event) {
      case 'progress':
        return this.#events.tell('progress', message.progress)
      case 'console':
        this.#console = message.bytes
        return this.#events.tell('console', message.bytes)
      case 'serial':
        this.#console = null
        this.#printed.sent(message.bytes.length)
        return this.#events.tell('serial', message.bytes)
      case 'frame':
        return this.#picture.draw(message.frame)
      case 'state':
        return this.#setState(message.state)
      case 'pointer':
        this.#pointer = message.pointer
        return this.#events.tell('pointer', message.pointer)
      case 'warning':
        return this.#events.tell('warning', message.message)
      case 'trouble':
        return this.#events.tell('trouble', message.trouble)
      case 'position':
        return this.#events.tell('position', { position: message.position, stop: message.stop })
      case 'exit':
        return this.#over(message.exit)
    }
  }
}
