import type { TestDisk } from '@retrap/device/test-machine'
import { type UsbStorageOptions, UsbStorage } from '../../src/index.ts'
import { CHAIN, DATA, type Event, IOC, trbType, type Words, XhciDriver } from './xhci-driver.ts'

const OUT = 4
const IN = 3
const COMMAND_AT = 0x7_0000
const STATUS_AT = 0x7_1000
const NORMAL = trbType(1)

/** How a command moves data. */
export interface CommandData {
  readonly toHost?: number
  /** Bytes that it sends. */
  readonly out?: Uint8Array
  /** Transfers of the data, all but the last of whole blocks. */
  readonly pieces?: number
  /** Bytes of one transfer, which need not be whole blocks. */
  readonly pieceBytes?: number
}

/** What came of a command. */
export interface CommandResult {
  readonly data: Uint8Array
  readonly residue: number
  readonly status: number
}

/** A guest with a stick, as a driver of mass storage uses it. */
export class StorageGuest {
  readonly driver: XhciDriver
  readonly stick: UsbStorage
  readonly #slot: number
  #tag = 0

  constructor(medium: TestDisk, options: Partial<UsbStorageOptions> = {}, from?: StorageGuest, high = 0) {
    this.stick = new UsbStorage({ medium, ...options })
    this.driver = new XhciDriver([this.stick], {}, high)
    if (from !== undefined) {
      this.driver.adopt(from.driver)
      this.driver.machine.ram.set(from.driver.machine.ram)
      this.#slot = from.#slot
      this.#tag = from.#tag
      return
    }
    this.driver.start()
    this.driver.events()
    this.#slot = this.driver.address(1, 4)
    this.driver.configure(this.#slot)
    this.#openEndpoints()
  }

  #openEndpoints(): void {
    this.driver.addEndpoint(this.#slot, IN, 6)
    this.driver.addEndpoint(this.#slot, OUT, 2)
  }

  /** A guest that has heard of the power-on. @param high - upper word of all addresses of RAM */
  static async ready(
    medium: TestDisk,
    { high = 0, ...options }: Partial<UsbStorageOptions> & { readonly high?: number } = {},
  ): Promise<StorageGuest> {
    const guest = new StorageGuest(medium, options, undefined, high)
    await guest.command([0])
    await guest.sense()
    return guest
  }

  #put(index: number, ...trbs: readonly Words[]): void {
    this.driver.put(32 * this.#slot + index, ...trbs)
    this.driver.doorbell(this.#slot, index)
  }

  /** Begins a command without waiting for anything. */
  begin(cdb: readonly number[], data: CommandData = {}): void {
    this.sendCommand(cdb, data)
    this.#moveData(data)
    this.askStatus()
  }

  /** Sends the command alone. */
  sendCommand(cdb: readonly number[], { toHost = 0, out }: CommandData = {}): void {
    const { high } = this.driver
    const { ram, view } = this.driver.machine
    ram.fill(0, COMMAND_AT, COMMAND_AT + 31)
    view.setUint32(COMMAND_AT, 0x4342_5355, true)
    view.setUint32(COMMAND_AT + 4, ++this.#tag, true)
    view.setUint32(COMMAND_AT + 8, out?.length ?? toHost, true)
    ram[COMMAND_AT + 12] = toHost > 0 ? 0x80 : 0
    ram[COMMAND_AT + 14] = 16
    ram.set(cdb, COMMAND_AT + 15)
    this.#put(OUT, [COMMAND_AT, high, 31, NORMAL])
  }

  #moveData({ toHost = 0, out, pieces = 1, pieceBytes }: CommandData): void {
    const { high } = this.driver
    const length = out?.length ?? toHost
    if (out !== undefined) this.driver.machine.ram.set(out, DATA)
    const piece = pieceBytes ?? Math.ceil(length / pieces / 512) * 512
    for (let at = 0; at < length; at += piece) {
      const part = Math.min(piece, length - at)
      // Each transfer in two pieces of memory
      const half = part >> 1
      const trbs = [
        [DATA + at, high, half, NORMAL | CHAIN],
        [DATA + at + half, high, part - half, NORMAL],
      ] as const
      this.#put(toHost > 0 ? IN : OUT, ...trbs)
    }
  }

  /** Asks for the status of a command. */
  askStatus(): void {
    this.#put(IN, [STATUS_AT, this.driver.high, 13, NORMAL | IOC])
  }

  /** The status of a command that has been begun. */
  async end(length = 0): Promise<CommandResult> {
    const events = await this.driver.wait()
    const { ram, view } = this.driver.machine
    const signature = view.getUint32(STATUS_AT, true)
    if (events.some(({ code }) => code !== 1) || signature !== 0x5342_5355 || events.length !== 1)
      throw new Error(`the status did not come: ${JSON.stringify(events)}`)
    if (view.getUint32(STATUS_AT + 4, true) !== this.#tag) throw new Error('the status is of another command')
    return {
      data: ram.slice(DATA, DATA + length),
      residue: view.getUint32(STATUS_AT + 8, true),
      status: ram[STATUS_AT + 12]!,
    }
  }

  command(cdb: readonly number[], data: CommandData = {}): Promise<CommandResult> {
    this.begin(cdb, data)
    return this.end(data.toHost)
  }

  /** Asks for sense data: key, code and qualifier. */
  async sense(): Promise<number> {
    const { data } = await this.command([3, 0, 0, 0, 18], { toHost: 18 })
    return (data[2]! << 16) | (data[12]! << 8) | data[13]!
  }

  /** Sends something to the stick. @returns the completion code */
  sendRaw(bytes: Uint8Array): number {
    this.driver.machine.ram.set(bytes, COMMAND_AT)
    this.#put(OUT, [COMMAND_AT, this.driver.high, bytes.length, NORMAL | IOC])
    const [event] = this.driver.events() as [Event]
    return event.code
  }

  /** Lets the halted OUT endpoint go on. */
  clearHalt(): void {
    const ofOut = (OUT << 16) | (this.#slot << 24)
    this.driver.command(0, 0, 0, trbType(14) | ofOut)
    this.driver.control(this.#slot, { type: 2, request: 1, value: 0, index: 2, length: 0 })
    const ring = this.driver.ring(this.#slot, OUT)
    this.driver.command(ring | 1, this.driver.high, 0, trbType(16) | ofOut)
  }

  resetRecovery(): void {
    this.driver.control(this.#slot, { type: 0x21, request: 0xff, value: 0, index: 0, length: 0 })
    this.clearHalt()
  }
}
