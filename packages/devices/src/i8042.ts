import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  type InterruptLine,
  savedState,
  type SynchronousRangeHandler,
} from '@retrap/device'

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
/** What the controller puts in the buffer when a device does not take a byte. */
const DEVICE_TIMEOUT = 0xfe

const RAM_BYTES = 32
const NO_COMMAND = -1

/** Saved form of an {@link I8042}. */
export interface I8042State {
  /** Layout of the state. */
  readonly version: 1
  /** The controller’s 32 bytes of RAM; byte 0 is the command byte. */
  readonly ram: readonly number[]
  /** Status register. */
  readonly status: number
  /** Output buffer. */
  readonly data: number
  /** Command that waits for its byte at port 0x60; −1: none. */
  readonly pending: number
  /** Output port. */
  readonly outputPort: number
}

/**
 * PS/2 keyboard controller at ports 0x60 and 0x64, with nothing plugged in:
 * self-tests pass, loop-backs work, bytes for a keyboard or mouse time out.
 * Pulling the reset line, by command 0xFE or output port bit 0, resets the
 * machine. A20 is kept and reads back, but the address line is never held low.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference,
 * "Keyboard and Auxiliary Device Controller".
 */
export class I8042 implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'i8042'
  readonly #ram = new Uint8Array(RAM_BYTES)
  #status = STATUS_UNLOCKED
  #data = 0
  /** Command that waits for its byte at port 0x60. */
  #pending = NO_COMMAND
  #outputPort = OUTPUT_NOT_RESET | OUTPUT_A20
  #context: DeviceContext | null = null
  #keyboardLine: InterruptLine | null = null
  #auxLine: InterruptLine | null = null

  constructor() {
    this.#ram[0] = CB_KEYBOARD_DISABLED | CB_AUX_DISABLED | CB_TRANSLATE
  }

  /** Claims ports 0x60 and 0x64 and takes ISA lines 1 and 12. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#keyboardLine = context.interruptLine(1)
    this.#auxLine = context.interruptLine(12)
    const dataPort: SynchronousRangeHandler = {
      read: (): number => {
        this.#status &= ~(STATUS_OBF | STATUS_AUX_OBF | STATUS_TIMEOUT)
        this.#update()
        return this.#data
      },
      write: (_offset: number, _size: AccessSize, value: number): void => this.#writeData(value),
    }
    const commandPort: SynchronousRangeHandler = {
      read: (): number => this.#status,
      write: (_offset: number, _size: AccessSize, value: number): void => this.#command(value),
    }
    context.mapPorts(PORT_DATA, 1, dataPort, { maximumAccess: 1 })
    context.mapPorts(PORT_COMMAND, 1, commandPort, { maximumAccess: 1 })
  }

  #commandByte(): number {
    return this.#ram[0]!
  }

  #command(command: number): void {
    this.#status |= STATUS_COMMAND
    this.#pending = NO_COMMAND
    if (command >= READ_RAM_FIRST && command <= READ_RAM_LAST) {
      this.#answer(this.#ram[command - READ_RAM_FIRST]!)
      return
    }
    if (
      (command >= WRITE_RAM_FIRST && command <= WRITE_RAM_LAST) ||
      (command >= WRITE_OUTPUT_PORT && command <= WRITE_AUX)
    ) {
      this.#pending = command
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
        this.#status |= STATUS_SYSTEM
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
        this.#answer(this.#outputPort | OUTPUT_IDLE_LINES | this.#outputInterrupts())
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

  #writeData(value: number): void {
    this.#status &= ~STATUS_COMMAND
    const command = this.#pending
    this.#pending = NO_COMMAND
    if (command >= WRITE_RAM_FIRST && command <= WRITE_RAM_LAST) {
      if (command === WRITE_RAM_FIRST) this.#setCommandByte(value)
      else this.#ram[command - WRITE_RAM_FIRST] = value
      return
    }
    switch (command) {
      case WRITE_OUTPUT_PORT:
        this.#outputPort = value & (OUTPUT_NOT_RESET | OUTPUT_A20)
        if ((value & OUTPUT_NOT_RESET) === 0) this.#context?.requestReset()
        break
      case WRITE_KEYBOARD_BUFFER:
        this.#answer(value)
        break
      case WRITE_AUX_BUFFER:
        this.#answer(value, STATUS_AUX_OBF)
        break
      case WRITE_AUX:
        // Writing to a device enables its clock.
        this.#ram[0] = this.#commandByte() & ~CB_AUX_DISABLED
        this.#answer(DEVICE_TIMEOUT, STATUS_AUX_OBF | STATUS_TIMEOUT)
        break
      default:
        this.#ram[0] = this.#commandByte() & ~CB_KEYBOARD_DISABLED
        this.#answer(DEVICE_TIMEOUT, STATUS_TIMEOUT)
        break
    }
  }

  #setCommandByte(value: number): void {
    this.#ram[0] = value
    this.#status = (this.#status & ~STATUS_SYSTEM) | ((value & CB_SYSTEM) === 0 ? 0 : STATUS_SYSTEM)
    this.#update()
  }

  #answer(value: number, flags = 0): void {
    this.#data = value
    this.#status = (this.#status & ~(STATUS_AUX_OBF | STATUS_TIMEOUT)) | STATUS_OBF | flags
    // A new byte is a new edge, even where the last one was never read.
    this.#keyboardLine?.set(false)
    this.#auxLine?.set(false)
    this.#update()
  }

  #outputInterrupts(): number {
    if ((this.#status & STATUS_OBF) === 0) return 0
    return (this.#status & STATUS_AUX_OBF) === 0 ? OUTPUT_KEYBOARD_IRQ : OUTPUT_AUX_IRQ
  }

  #update(): void {
    const lines = this.#outputInterrupts()
    this.#keyboardLine?.set((lines & OUTPUT_KEYBOARD_IRQ) !== 0 && (this.#commandByte() & CB_KEYBOARD_INTERRUPT) !== 0)
    this.#auxLine?.set((lines & OUTPUT_AUX_IRQ) !== 0 && (this.#commandByte() & CB_AUX_INTERRUPT) !== 0)
  }

  /** Returns the registers to their state at power-on. */
  reset(): void {
    this.#ram.fill(0)
    this.#ram[0] = CB_KEYBOARD_DISABLED | CB_AUX_DISABLED | CB_TRANSLATE
    this.#status = STATUS_UNLOCKED
    this.#data = 0
    this.#pending = NO_COMMAND
    this.#outputPort = OUTPUT_NOT_RESET | OUTPUT_A20
    this.#update()
  }

  /** Returns the state as plain data. */
  save(): I8042State {
    return {
      version: 1,
      ram: [...this.#ram],
      status: this.#status,
      data: this.#data,
      pending: this.#pending,
      outputPort: this.#outputPort,
    }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    const saved = savedState<I8042State>(this.name, state, 1)
    this.#ram.set(saved.ram)
    this.#status = saved.status
    this.#data = saved.data
    this.#pending = saved.pending
    this.#outputPort = saved.outputPort
    this.#update()
  }
}
