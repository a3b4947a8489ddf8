import type { TerminalDisplay } from '../display/terminal-display.ts'
import type { SessionHost } from './session-host.ts'
import { WHERE_IS_THE_CURSOR } from '@retrap/linux-guest/linux/initramfs'
import type { Machine, MachineSerial } from '@retrap/linux-guest/machine/machine-contract'
import { SerialInput, type InputPolicy } from './serial-input.ts'
import type { FarEnd } from '../serial/far-end.ts'
import type { ChardevArgument } from '../serial/serial-options.ts'
import type { SerialTarget } from '../../options/values.ts'

/** The terminal's settings for a machine. */
export interface TerminalSettings {
  /** Target of each serial port; at most one of the ports and chardevs is `stdio`. */
  readonly serial: readonly SerialTarget[]
  /** Targets of console ports. */
  readonly chardevs?: readonly ChardevArgument[]
  /** The guest's console that gets typed input. Both consoles are printed. */
  readonly console: 'serial' | 'xen'
  readonly input: InputPolicy
  /** Where monitors are: with `stdio` Ctrl-A c goes to one on the terminal, and back. */
  readonly monitor?: readonly { readonly kind: string }[]
  /** With a recording to replay a terminal takes commands, whichever consoles the machine has. */
  readonly recording?: { readonly replay?: string | undefined } | undefined
}

/** The requests of the keys behind Ctrl-A, and the guest's output when it is lost. */
interface TerminalListener {
  /** The user leaves. */
  readonly left: () => void
  readonly power: () => void
  /** Ctrl-A s: the machine is to be saved. */
  readonly save: () => void
  /** Called with the line that was typed after Ctrl-A c; null: the user has cancelled it. */
  readonly command: (line: string | null) => void
  /** Called when the kernel has panicked, in a run without an audience. */
  readonly panicked: (reason: string) => void
}

const KEYS =
  '\r\nCtrl-A x  leave\r\nCtrl-A p  press the power button, or wake the guest\r\nCtrl-A s  save the machine to a new file\r\nCtrl-A c  type a command that changes discs or plugs devices in, such as change cd0 FILE, or help\r\nCtrl-A Ctrl-A  send Ctrl-A\r\nCtrl-A h  this help\r\n'
const PROMPT = '(retrap) '
const KEYBOARD_KEYS = 'Ctrl-A d  press Ctrl-Alt-Delete\r\n'

/** The terminal: typed input goes to one of the guest's consoles or its keyboard, and the guest's output is shown. */
export class SessionTerminal {
  readonly #settings: TerminalSettings
  readonly #host: SessionHost
  readonly #screen: TerminalDisplay | undefined
  readonly #input: SerialInput
  readonly #panic: PanicWatch
  /** Passes typed input to the chardev that uses the terminal. */
  #toChardev: ((bytes: Uint8Array) => boolean) | undefined
  #console: MachineSerial | undefined
  /** The beginning of a possible question, which is not shown yet. */
  #begun = ''

  /** @param screen - the guest's picture, if the terminal shows it: then the guest's keyboard gets the typed input */
  constructor(
    settings: TerminalSettings,
    host: SessionHost,
    screen: TerminalDisplay | undefined,
    listener: TerminalListener,
  ) {
    this.#settings = settings
    this.#host = host
    this.#screen = screen
    this.#input = new SerialInput({
      policy: this.isConsole ? settings.input : { kind: 'pass' },
      interactive: host.stdin.isTTY === true,
      staysAtPrompt: this.staysAtPrompt,
      send: (bytes) =>
        screen?.typed(bytes, () => this.#input.drained()) ??
        this.#toChardev?.(bytes) ??
        this.#console?.receive(bytes) ??
        true,
      onLeave: listener.left,
      onPower: listener.power,
      onSave: listener.save,
      onHelp: () => (screen === undefined ? host.stderr.write(KEYS) : screen.cover(`${KEYS}${KEYBOARD_KEYS}`)),
      onPrompt: () => (screen === undefined ? host.stderr.write(`\r\n${this.#prompt}`) : screen.ask(this.#prompt)),
      onEcho: (bytes) => (screen === undefined ? host.stderr : host.stdout).write(bytes),
      onCommand: listener.command,
      onRoom: () => host.stdin.resume(),
      ...(screen !== undefined && { onRestart: () => screen.restart() }),
    })
    this.#panic = new PanicWatch(listener.panicked)
  }

  /** Whether the escape filter stays in command mode after a command. */
  get staysAtPrompt(): boolean {
    return this.#settings.monitor?.some(({ kind }) => kind === 'stdio') === true
  }

  /** Scripts for QEMU's monitor wait for its prompt. */
  get #prompt(): string {
    return this.staysAtPrompt ? '(qemu) ' : PROMPT
  }

  /** Whether a console of the guest is connected to the terminal. */
  get isConsole(): boolean {
    const { serial, chardevs = [] } = this.#settings
    return [...serial, ...chardevs.map(({ target }) => target)].some(({ kind }) => kind === 'stdio')
  }

  /** Starts to read typed input, if the machine uses any. @returns a function that stops reading */
  open(): () => void {
    const isUsed = this.isConsole || this.#screen !== undefined || this.#takesCommands
    return isUsed ? openInput(this.#host, this.#input) : () => {}
  }

  get #takesCommands(): boolean {
    return this.#settings.recording?.replay !== undefined && this.#host.stdin.isTTY === true
  }

  /** Connects the terminal with another machine's console. */
  connect(machine: Machine): void {
    this.#console = this.#consoleOf(machine)
    this.#console?.onDrain(() => this.#input.drained())
    this.#input.drained()
  }

  #consoleOf(machine: Machine): MachineSerial | undefined {
    if (this.#settings.console === 'xen') return machine.xenConsole
    const port = machine.serialPorts[this.#settings.serial.findIndex(({ kind }) => kind === 'stdio')]
    // A replay takes Ctrl-C from any of its ports.
    return port ?? (this.#takesCommands ? machine.xenConsole : undefined)
  }

  /** The terminal as a chardev's far end. */
  farEnd(): FarEnd {
    return {
      write: (bytes) => this.print(bytes),
      onReceive: (listener) => (this.#toChardev = listener),
      resume: () => this.#input.drained(),
      onError() {},
      close: () => Promise.resolve(),
    }
  }

  /** Shows the guest's output. */
  print(bytes: Uint8Array): void {
    this.#host.stdout.write(this.#asksNobody ? this.#withoutQuestions(bytes) : bytes)
    this.#input.transmitted(bytes)
    if (this.#settings.input.kind === 'script') this.#panic.transmitted(bytes)
  }

  /** No terminal answers the guest's: a script types, or the guest runs in the past. */
  get #asksNobody(): boolean {
    return this.#settings.input.kind === 'script' || this.#settings.recording?.replay !== undefined
  }

  /** Takes out questions of a shell for the place of the cursor, which may come in pieces. */
  #withoutQuestions(bytes: Uint8Array): Uint8Array {
    const text = (this.#begun + Buffer.from(bytes).toString('latin1')).replaceAll(WHERE_IS_THE_CURSOR, '')
    const begun =
      [3, 2, 1].map((length) => WHERE_IS_THE_CURSOR.slice(0, length)).find((part) => text.endsWith(part)) ?? ''
    this.#begun = begun
    return Buffer.from(text.slice(0, text.length - begun.length), 'latin1')
  }

  /** Shows a progress message, unless it would interrupt the guest's output. */
  status(text: string): void {
    const { stdout, stderr } = this.#host
    const isShared = stdout.isTTY === true && stderr.isTTY === true
    if (isShared && (this.isConsole || this.#screen !== undefined)) return
    stderr.write(`retrap: ${text}\n`)
  }

  /** Shows the answer to a command. @param asksAgain - another command may follow */
  answer(text: string, asksAgain: boolean = false): void {
    const lines = `${text.replaceAll('\n', '\r\n')}${asksAgain && this.staysAtPrompt ? this.#prompt : ''}`
    if (this.#screen === undefined) this.#host.stderr.write(lines)
    else this.#screen.cover(lines)
  }

  /** Ends the terminal's timers. */
  stop(): void {
    this.#host.stdout.write(Buffer.from(this.#begun, 'latin1'))
    this.#begun = ''
    this.#input.feeder?.stop()
    this.#panic.stop()
  }
}

/** Opens the user's input, in raw mode on a terminal so that the guest gets every key. @returns a function that closes it */
function openInput(host: SessionHost, input: SerialInput): () => void {
  const { stdin } = host
  const terminal = stdin.isTTY === true
  if (terminal) stdin.setRawMode?.(true)
  stdin.on('data', (bytes) => {
    input.typed(bytes)
    if (input.isFull) stdin.pause()
  })
  stdin.on('end', () => input.ended())
  stdin.resume()
  return () => {
    stdin.removeAllListeners()
    stdin.pause()
    // An open pipe must not keep a finished process alive.
    stdin.unref?.()
    if (terminal) stdin.setRawMode?.(false)
  }
}

/** Time limit for the rest of a panic's report. */
const REPORT_MS = 1000
const TAIL_LENGTH = 4096
const PANIC = /Kernel panic - not syncing: ([^\r\n]*)[\r\n]/
const END = /---\[ end Kernel panic/

/** Looks for a panic in the output of a Linux kernel. */
export class PanicWatch {
  readonly #onPanic: (reason: string) => void
  readonly #decoder = new TextDecoder('latin1')
  #tail = ''
  #reason: string | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #told = false

  /** @param onPanic - called once, with the kernel's message, when it has printed its report */
  constructor(onPanic: (reason: string) => void) {
    this.#onPanic = onPanic
  }

  /** Processes the guest's output. */
  transmitted(bytes: Uint8Array): void {
    if (this.#told) return
    this.#tail = (this.#tail + this.#decoder.decode(bytes)).slice(-TAIL_LENGTH)
    if (this.#reason === undefined) {
      this.#reason = PANIC.exec(this.#tail)?.[1]
      if (this.#reason === undefined) return
      this.#timer = setTimeout(() => this.#tell(), REPORT_MS)
    }
    if (END.test(this.#tail)) this.#tell()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #tell(): void {
    this.stop()
    this.#told = true
    this.#onPanic(this.#reason ?? '')
  }
}
