import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InputBackend,
  type InterruptLine,
  type PlainState,
  savedState,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { Ps2Keyboard } from './ps2/keyboard.ts'
import { Ps2Mouse } from './ps2/mouse.ts'
import { translate } from './ps2/scan-codes.ts'

/** Source of the byte in the output buffer. */
const FROM_CONTROLLER = 0
const FROM_KEYBOARD = 1
const FROM_MOUSE = 2
type Source = typeof FROM_CONTROLLER | typeof FROM_KEYBOARD | typeof FROM_MOUSE

/** Options of {@link I8042}. */
export interface I8042Options {
  /** Source of keys for a connected keyboard; default no keyboard. */
  readonly keyboard?: InputBackend
  /** Source of movements for a connected mouse; default no mouse. */
  readonly mouse?: InputBackend
  /**
   * The treatment of keys while the guest reads none and the keyboard's 16 bytes are full: the back end waits (default), or they
   * are lost and the keyboard reports an overrun, as a real one does.
   */
  readonly whenFull?: 'wait' | 'overrun'
  /** Called with whether address line 20 works, each time the guest sets the gate by this controller. */
  readonly onA20?: (works: boolean) => void
}

/** The fields that a state of version 1 lacks. */
const VERSION_1 = { source: FROM_CONTROLLER, held: null, breakPrefix: false, arrivalAt: null } as const

/**
 * Checks a saved state, and brings one of version 1 up to date.
 *
 * @param plugged - the states of the devices that the controller has, which stay as they are where the saved one is of version 1
 * @throws DeviceError `ERR_STATE` for a state of another version, or with other devices
 */
function controllerState(
  name: string,
  state: unknown,
  plugged: { readonly keyboard: PlainState | null; readonly mouse: PlainState | null },
): PlainState {
  if (typeof state === 'object' && state !== null && 'version' in state && state.version === 1) {
    return { ...state, ...VERSION_1, version: 2, ...plugged }
  }
  const saved = savedState<PlainState & { readonly version: 2 }>(name, state, 2)
  for (const device of ['keyboard', 'mouse'] as const) {
    if ((saved[device] === null) === (plugged[device] === null)) continue
    const [found, expected] = plugged[device] === null ? ['a', 'no'] : ['no', 'a']
    throw new DeviceError('ERR_STATE', `${name}: saved state with ${found} ${device}: expected ${expected} ${device}`)
  }
  return saved
}

const PORT_DATA = 0x60
const PORT_COMMAND = 0x64

const STATUS_OBF = 0x01
const STATUS_SYSTEM = 0x04
const STATUS_COMMAND = 0x08
const STATUS_UNLOCKED = 0x10
const STATUS_AUX_OBF = 0x20
const STATUS_TIMEOUT = 0x40

// Command byte (controller RAM byte 0).
const CB_KEYBOARD_INTERRUPT = 0x01
const CB_AUX_INTERRUPT = 0x02
const CB_SYSTEM = 0x04
const CB_KEYBOARD_DISABLED = 0x10
const CB_AUX_DISABLED = 0x20
const CB_TRANSLATE = 0x40

const READ_RAM_FIRST = 0x20
const READ_RAM_LAST = 0x3f
const WRITE_RAM_FIRST = 0x60
const WRITE_RAM_LAST = 0x7f
const DISABLE_AUX = 0xa7
const ENABLE_AUX = 0xa8
const TEST_AUX = 0xa9
const SELF_TEST = 0xaa
const TEST_KEYBOARD = 0xab
const DISABLE_KEYBOARD = 0xad
const ENABLE_KEYBOARD = 0xae
const READ_INPUT_PORT = 0xc0
const READ_OUTPUT_PORT = 0xd0
const WRITE_OUTPUT_PORT = 0xd1
const WRITE_KEYBOARD_BUFFER = 0xd2
const WRITE_AUX_BUFFER = 0xd3
const WRITE_AUX = 0xd4
const DISABLE_A20 = 0xdd
const ENABLE_A20 = 0xdf
const READ_TEST_INPUTS = 0xe0
const PULSE_FIRST = 0xf0

const SELF_TEST_PASSED = 0x55
const INTERFACE_GOOD = 0x00
/** Keyboard lock open, manufacturing jumper absent. */
const INPUT_PORT = 0xa0
const OUTPUT_NOT_RESET = 0x01
const OUTPUT_A20 = 0x02
/** Clock and data of keyboard and mouse, high while nothing is plugged in. */
const OUTPUT_IDLE_LINES = 0xcc
const OUTPUT_KEYBOARD_IRQ = 0x10
const OUTPUT_AUX_IRQ = 0x20
/** The byte that the controller puts in the buffer when a device does not take a byte. */
const DEVICE_TIMEOUT = 0xfe

/** A byte on a device's cable: eleven bits of two half clocks, 30 to 50 µs each; the middle of the interface's range. */
const BYTE_NS = 880_000
const RAM_BYTES = 32
const NO_COMMAND = -1
const BREAK_PREFIX = 0xf0

/**
 * PS/2 controller at ports 0x60 and 0x64, with a keyboard and a mouse where they have back ends.
 *
 * A device's byte takes 880 µs on its cable, and the next one starts when the guest has read it. A port with nothing plugged
 * in passes its self-test, and bytes sent to it time out. Pulling the reset line, by command 0xFE or output port bit 0,
 * resets the machine. Output port bit 1, and commands 0xDD and 0xDF, drive address line 20.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller".
 */
export class I8042 extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'i8042'
  readonly #ram = new Uint8Array(RAM_BYTES)
  readonly #keyboard: Ps2Keyboard | null
  readonly #mouse: Ps2Mouse | null
  readonly #onA20: ((works: boolean) => void) | undefined
  #context: DeviceContext | null = null
  #keyboardLine: InterruptLine | null = null
  #auxLine: InterruptLine | null = null
  #arrival: Timer | null = null
  readonly #r = this.keeps({
    version: 2,
    ram: {
      save: (): number[] => [...this.#ram],
      restore: (bytes: readonly number[]): void => this.#ram.set(bytes),
      reset: (): void => this.#ram.fill(0).set([CB_KEYBOARD_DISABLED | CB_AUX_DISABLED | CB_TRANSLATE]),
    },
    status: STATUS_UNLOCKED,
    data: 0,
    /** Command that waits for its data byte at port 0x60; −1: none. */
    pending: NO_COMMAND,
    outputPort: OUTPUT_NOT_RESET | OUTPUT_A20,
    /** Origin of the byte in the output buffer. */
    source: FROM_CONTROLLER as Source,
    /** A device's byte that made room for an answer of the controller. */
    held: null as { readonly source: 1 | 2; readonly data: number } | null,
    /** The keyboard's last byte was the prefix of a break code. */
    breakPrefix: false,
    /** Arrival time of the byte in transit from a device. */
    arrivalAt: () => this.#arrival,
    keyboard: (): Ps2Keyboard | null => this.#keyboard,
    mouse: (): Ps2Mouse | null => this.#mouse,
  })

  constructor({ keyboard, mouse, whenFull = 'wait', onA20 }: I8042Options = {}) {
    super()
    this.#onA20 = onA20
    this.#keyboard = keyboard === undefined ? null : new Ps2Keyboard({ backend: keyboard, whenFull })
    this.#mouse = mouse === undefined ? null : new Ps2Mouse(mouse)
    this.#ram[0] = CB_KEYBOARD_DISABLED | CB_AUX_DISABLED | CB_TRANSLATE
  }

  /** Claims ports 0x60 and 0x64 and takes ISA lines 1 and 12. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#keyboardLine = context.interruptLine(1)
    this.#auxLine = context.interruptLine(12)
    this.#arrival = context.timer(() => this.#arrive())
    this.#keyboard?.connect(context, () => this.#fetch())
    this.#mouse?.connect(context, () => this.#fetch())
    const dataPort: SynchronousRangeHandler = {
      read: () => this.#readData(),
      write: (_offset: number, _size: AccessSize, value: number): void => this.#writeData(value),
    }
    const commandPort: SynchronousRangeHandler = {
      read: (): number => this.#r.status,
      write: (_offset: number, _size: AccessSize, value: number): void => this.#command(value),
    }
    context.mapPorts(PORT_DATA, 1, dataPort, { maximumAccess: 1 })
    context.mapPorts(PORT_COMMAND, 1, commandPort, { maximumAccess: 1 })
  }

  #readData(): number {
    const data = this.#r.data
    if ((this.#r.status & STATUS_OBF) === 0) return data
    this.#r.status &= ~(STATUS_OBF | STATUS_AUX_OBF | STATUS_TIMEOUT)
    this.#update()
    const held = this.#r.held
    this.#r.held = null
    if (held === null) this.#fetch()
    else this.#fill(held.source, held.data)
    return data
  }

  /** The device whose byte comes next: the keyboard goes first. */
  #sender(): Source {
    if (this.#keyboard?.ready === true && (this.#commandByte() & CB_KEYBOARD_DISABLED) === 0) return FROM_KEYBOARD
    return this.#mouse?.ready === true && (this.#commandByte() & CB_AUX_DISABLED) === 0 ? FROM_MOUSE : FROM_CONTROLLER
  }

  /** Starts the next byte of a device, if there is room for it. */
  #fetch(): void {
    if ((this.#r.status & STATUS_OBF) !== 0 || this.#sender() === FROM_CONTROLLER) return
    if (this.#arrival?.deadlineNs === Infinity) this.#arrival.armAfter(BYTE_NS)
  }

  #arrive(): void {
    // An answer of the controller may have come first; the device keeps its byte.
    if ((this.#r.status & STATUS_OBF) !== 0) return
    const sender = this.#sender()
    if (sender === FROM_MOUSE) this.#fill(FROM_MOUSE, this.#mouse!.take())
    else if (sender === FROM_KEYBOARD) {
      const byte = this.#keyboard!.take()
      if ((this.#commandByte() & CB_TRANSLATE) === 0) this.#fill(FROM_KEYBOARD, byte)
      else if (byte === BREAK_PREFIX) {
        this.#r.breakPrefix = true
        this.#fetch()
      } else {
        const code = translate(byte)
        this.#fill(FROM_KEYBOARD, this.#r.breakPrefix && code < 0x80 ? code | 0x80 : code)
        this.#r.breakPrefix = false
      }
    }
  }

  #commandByte(): number {
    return this.#ram[0]!
  }

  #command(command: number): void {
    this.#r.status |= STATUS_COMMAND
    this.#r.pending = NO_COMMAND
    if (command >= READ_RAM_FIRST && command <= READ_RAM_LAST) {
      this.#answer(this.#ram[command - READ_RAM_FIRST]!)
      return
    }
    if (
      (command >= WRITE_RAM_FIRST && command <= WRITE_RAM_LAST) ||
      (command >= WRITE_OUTPUT_PORT && command <= WRITE_AUX)
    ) {
      this.#r.pending = command
      return
    }
    if (command >= PULSE_FIRST) {
      // Bits that are 0 pulse low; bit 0 is the processor's reset.
      if ((command & 1) === 0) this.#context?.requestReset()
      return
    }
    switch (command) {
      case DISABLE_AUX:
        this.#setCommandByte(this.#commandByte() | CB_AUX_DISABLED)
        break
      case ENABLE_AUX:
        this.#setCommandByte(this.#commandByte() & ~CB_AUX_DISABLED)
        break
      case TEST_AUX:
      case TEST_KEYBOARD:
        this.#answer(INTERFACE_GOOD)
        break
      case SELF_TEST:
        this.#ram[0] = this.#commandByte() | CB_KEYBOARD_DISABLED | CB_AUX_DISABLED
        this.#r.status |= STATUS_SYSTEM
        this.#answer(SELF_TEST_PASSED)
        break
      case DISABLE_KEYBOARD:
        this.#setCommandByte(this.#commandByte() | CB_KEYBOARD_DISABLED)
        break
      case ENABLE_KEYBOARD:
        this.#setCommandByte(this.#commandByte() & ~CB_KEYBOARD_DISABLED)
        break
      case READ_INPUT_PORT:
        this.#answer(INPUT_PORT)
        break
      case READ_OUTPUT_PORT:
        this.#answer(this.#r.outputPort | OUTPUT_IDLE_LINES | this.#outputInterrupts())
        break
      case DISABLE_A20:
        this.#setOutputPort(this.#r.outputPort & ~OUTPUT_A20)
        break
      case ENABLE_A20:
        this.#setOutputPort(this.#r.outputPort | OUTPUT_A20)
        break
      case READ_TEST_INPUTS:
        // Clock and data lines of an idle keyboard and mouse are high.
        this.#answer(0x03)
        break
      default:
        // Unknown commands are ignored, as the ROM of the controller does.
        break
    }
  }

  #setOutputPort(value: number): void {
    this.#r.outputPort = value & (OUTPUT_NOT_RESET | OUTPUT_A20)
    this.#onA20?.((value & OUTPUT_A20) !== 0)
  }

  #writeData(value: number): void {
    this.#r.status &= ~STATUS_COMMAND
    const command = this.#r.pending
    this.#r.pending = NO_COMMAND
    if (command >= WRITE_RAM_FIRST && command <= WRITE_RAM_LAST) {
      if (command === WRITE_RAM_FIRST) this.#setCommandByte(value)
      else this.#ram[command - WRITE_RAM_FIRST] = value
      return
    }
    switch (command) {
      case WRITE_OUTPUT_PORT:
        this.#setOutputPort(value)
        if ((value & OUTPUT_NOT_RESET) === 0) this.#context?.requestReset()
        break
      case WRITE_KEYBOARD_BUFFER:
        this.#answer(value)
        break
      case WRITE_AUX_BUFFER:
        this.#answer(value, STATUS_AUX_OBF)
        break
      case WRITE_AUX:
        // A write to a device enables its clock.
        this.#ram[0] = this.#commandByte() & ~CB_AUX_DISABLED
        if (this.#mouse === null) this.#answer(DEVICE_TIMEOUT, STATUS_AUX_OBF | STATUS_TIMEOUT)
        else this.#mouse.receive(value)
        break
      default:
        this.#ram[0] = this.#commandByte() & ~CB_KEYBOARD_DISABLED
        if (this.#keyboard === null) this.#answer(DEVICE_TIMEOUT, STATUS_TIMEOUT)
        else this.#keyboard.receive(value)
        break
    }
  }

  #setCommandByte(value: number): void {
    this.#ram[0] = value
    this.#r.status = (this.#r.status & ~STATUS_SYSTEM) | ((value & CB_SYSTEM) === 0 ? 0 : STATUS_SYSTEM)
    this.#update()
    this.#fetch()
  }

  /** An answer of the controller. A byte of a device that was not read yet comes again behind it. */
  #answer(value: number, flags = 0): void {
    if ((this.#r.status & STATUS_OBF) !== 0 && this.#r.source !== FROM_CONTROLLER) {
      this.#r.held = { source: this.#r.source, data: this.#r.data }
    }
    this.#fill(FROM_CONTROLLER, value, flags)
  }

  #fill(source: Source, value: number, flags = source === FROM_MOUSE ? STATUS_AUX_OBF : 0): void {
    this.#r.source = source
    this.#r.data = value
    this.#r.status = (this.#r.status & ~(STATUS_AUX_OBF | STATUS_TIMEOUT)) | STATUS_OBF | flags
    // A new byte is a new edge, even where the last one was never read.
    this.#keyboardLine?.set(false)
    this.#auxLine?.set(false)
    this.#update()
  }

  #outputInterrupts(): number {
    if ((this.#r.status & STATUS_OBF) === 0) return 0
    return (this.#r.status & STATUS_AUX_OBF) === 0 ? OUTPUT_KEYBOARD_IRQ : OUTPUT_AUX_IRQ
  }

  #update(): void {
    const lines = this.#outputInterrupts()
    this.#keyboardLine?.set((lines & OUTPUT_KEYBOARD_IRQ) !== 0 && (this.#commandByte() & CB_KEYBOARD_INTERRUPT) !== 0)
    this.#auxLine?.set((lines & OUTPUT_AUX_IRQ) !== 0 && (this.#commandByte() & CB_AUX_INTERRUPT) !== 0)
  }

  /** Takes no more input until `resume`. */
  quiesce(): void {
    this.#keyboard?.quiesce()
    this.#mouse?.quiesce()
  }

  /** Resumes after `quiesce` or `restore`. */
  resume(): void {
    this.#keyboard?.resume()
    this.#mouse?.resume()
  }

  /**
   * Takes over a saved state; a state of version 1 leaves keyboard and mouse unchanged.
   *
   * @throws DeviceError `ERR_STATE` for a state of another version, or with other devices
   */
  override restore(state: unknown): void {
    const [keyboard, mouse] = [this.#keyboard, this.#mouse].map((each) => each?.save() ?? null)
    super.restore(controllerState(this.name, state, { keyboard: keyboard!, mouse: mouse! }))
    this.#update()
    this.#fetch()
  }

  /** Resets the controller and its devices to power-on state. */
  override reset(): void {
    super.reset()
    this.#onA20?.(true)
    this.#update()
  }
}
