import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  MEMORY_PAGE_BYTES,
  type PacketBackend,
  type PciFunction,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { Eeprom } from './eeprom.ts'
import { Interrupts } from './interrupts.ts'
import { Phy } from './phy.ts'
import { wantedAddresses } from './receive-filter.ts'
import { Receiver } from './receiver.ts'
import { CAUSE, REG, RegisterFile } from './register-file.ts'
import { Statistics } from './statistics.ts'
import { Transmitter } from './transmitter.ts'
import { checkDeviceNumber } from '../pci-device-number.ts'

/** Options of {@link E1000}. */
export interface E1000Options {
  /** The network. */
  readonly network: PacketBackend
  /** The bus: a bridge's `busName`; default bus 0. */
  readonly bus?: string | undefined
  /** PCI device number on its bus, 1 to 31 on bus 0, and 0 to 31 on others. */
  readonly device: number
  /** Names the model; default `e1000`. */
  readonly name?: string
  /** Six bytes; default the network's choice, or 52:54:00:12:34:56. */
  readonly macAddress?: Uint8Array
  /** Boot program in the expansion ROM, at most 1 MiB; default none. */
  readonly rom?: Uint8Array | undefined
}

const MOST_ROM_BYTES = 2 ** 20
const USUAL_ADDRESS = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]

/** The card's address, after a look at all options. @throws DeviceError `ERR_OPTION` */
function checkedAddress({ network, bus, device, name = 'e1000', macAddress, rom }: E1000Options): Uint8Array {
  const bad = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${name}: ${what}`)
  const address = macAddress ?? network.macAddress ?? Uint8Array.from(USUAL_ADDRESS)
  if (address.length !== 6 || (address[0]! & 1) !== 0)
    throw bad(`address ${[...address].join(':')}: expected six bytes, and not that of a group`)
  checkDeviceNumber(name, device, bus)
  if (rom !== undefined && rom.length > MOST_ROM_BYTES)
    throw bad(`a ROM of ${rom.length} bytes: expected at most ${MOST_ROM_BYTES}`)
  return address
}

const VENDOR_ID = 0x8086
const DEVICE_ID = 0x100e
const SUBSYSTEM_ID = 0x001e
/** Network controller, Ethernet. */
const CLASS = 0x02_0000
const REGISTERS_BYTES = 0x2_0000
const IO_BYTES = 0x40
/** Real links take two to three seconds, for which firmware polls. */
const NEGOTIATION_NS = 5e6

// CTRL.
const SET_LINK_UP = 1 << 6
const RESET = 1 << 26
const PHY_RESET = 0x8000_0000
const CONTROL_WRITABLE = 0x783f_f3f9 | SET_LINK_UP
// STATUS.
const FULL_DUPLEX = 0x01
const LINK_UP = 0x02
const SPEED_1000 = 0x0280
// CTRL_EXT.
const EEPROM_RESET = 1 << 13
// RCTL.
const LOOPBACK = 0xc0
/** A write of a delay register reports at once. */
const FLUSH = 0x8000_0000

/**
 * A gigabit network card with Intel's 82540EM.
 *
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (Intel 317453-006).
 */
export class E1000 extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** Handlers answer at once. */
  readonly synchronous: boolean = true
  readonly #network: PacketBackend
  readonly #bus: string | undefined
  readonly #device: number
  readonly #rom: Uint8Array | undefined
  readonly #registers = new RegisterFile()
  readonly #statistics = new Statistics()
  readonly #eeprom: Eeprom
  readonly #phy: Phy = new Phy({
    negotiate: () => this.#negotiate(),
    accessed: () => this.#interrupts.raise(CAUSE.MDAC),
  })
  /** A snapshot is being made: nothing reaches the guest. */
  readonly #r = this.keeps({
    version: 1,
    registers: this.#registers.words,
    ioAddress: 0,
    eeprom: (): Eeprom => this.#eeprom,
    phy: this.#phy,
    negotiated: () => this.#negotiated,
    statistics: this.#statistics.words,
    interrupts: () => this.#interrupts,
    transmitter: () => this.#transmitter,
    receiver: () => this.#receiver,
  })
  #isPaused = false
  /** The network has called meanwhile. */
  #wasCalled = false
  #pci!: PciFunction
  #interrupts!: Interrupts
  #transmitter!: Transmitter
  #receiver!: Receiver
  /** Armed while the transceiver negotiates. */
  #negotiated!: Timer

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: E1000Options) {
    super()
    const { network, bus, device, name = 'e1000', rom } = options
    const address = checkedAddress(options)
    this.name = name
    this.#network = network
    this.#bus = bus
    this.#device = device
    this.#rom = rom
    this.#eeprom = new Eeprom(address)
  }

  /** Adds the PCI function, and names itself to the network. */
  attach(context: DeviceContext): void {
    const registers = this.#registers
    const statistics = this.#statistics
    this.#negotiated = context.timer(() => this.#linkChanged(true))
    this.#interrupts = new Interrupts(
      context,
      (level) => this.#pci.interrupt?.set(level),
      () => registers.get(REG.ITR),
    )
    const wires = {
      context,
      registers,
      statistics,
      mayMaster: (): boolean => this.#pci.mayMaster,
      raise: (causes: number): void => this.#interrupts.raise(causes),
    }
    this.#transmitter = new Transmitter({ ...wires, send: (frame) => this.#send(frame) })
    this.#receiver = new Receiver({ ...wires, ready: () => this.#network.ready() })
    this.#pci = context.pci.add({
      bus: this.#bus ?? 0,
      device: this.#device,
      vendorId: VENDOR_ID,
      deviceId: DEVICE_ID,
      revisionId: 2,
      classCode: CLASS,
      subsystemVendorId: VENDOR_ID,
      subsystemId: SUBSYSTEM_ID,
      interruptPin: 1,
      bars: [
        { index: 0, kind: 'memory', bytes: REGISTERS_BYTES, minimumAccess: 4, handler: this.#memoryWindow },
        { index: 1, kind: 'io', bytes: IO_BYTES, minimumAccess: 4, handler: this.#ioWindow },
      ],
      ...(this.#rom !== undefined && {
        expansionRom: {
          memory: context.ownMemory({
            name: 'rom',
            bytes: Math.max(2 ** Math.ceil(Math.log2(this.#rom.length)), MEMORY_PAGE_BYTES),
            kind: 'rom',
            executable: true,
            contents: this.#rom,
            saved: false,
          }),
        },
      }),
      onWrite: () => {
        this.#transmitter.pump()
        if (wires.mayMaster()) this.#receiver.refilled()
      },
    })
    registers.setAddress(this.#eeprom.macAddress)
    this.#network.connect({
      receive: (frame) => this.#receive(frame),
      drained: () => {
        if (this.#isPaused) this.#wasCalled = true
        else this.#transmitter.pump()
      },
      linkChanged: (up) => {
        // After a restore the device checks its queue by itself.
        if (this.#isPaused) return
        if (up) this.#negotiate()
        else this.#linkChanged(false)
      },
    })
    this.#phy.linkUp = this.#network.linkUp
  }

  readonly #memoryWindow: SynchronousRangeHandler = {
    read: (offset) => this.#read(offset),
    write: (offset, _size, value) => this.#write(offset, value),
  }

  /** Two registers: an offset, and the data of the register at it. Source: §13.3.2, "I/O-Mapped Internal Register". */
  readonly #ioWindow: SynchronousRangeHandler = {
    read: (offset) => {
      if (offset === 0) return this.#r.ioAddress
      return offset === 4 && this.#r.ioAddress < REGISTERS_BYTES ? this.#read(this.#r.ioAddress) : 0
    },
    write: (offset: number, _size: AccessSize, value: number) => {
      if (offset === 0) this.#r.ioAddress = value & ~3 & 0xf_ffff
      else if (offset === 4 && this.#r.ioAddress < REGISTERS_BYTES) this.#write(this.#r.ioAddress, value)
    },
  }

  // ---- Registers ----

  #read(offset: number): number {
    switch (offset) {
      case REG.STATUS:
        return FULL_DUPLEX | SPEED_1000 | (this.#linkUp ? LINK_UP : 0)
      case REG.EECD:
        return this.#eeprom.control
      case REG.EERD:
        return this.#eeprom.readRegister
      case REG.MDIC:
        return this.#phy.command
      case REG.ICR:
        return this.#interrupts.take()
      case REG.IMS:
        return this.#interrupts.enabled
      default:
        return Statistics.has(offset) ? this.#statistics.read(offset) : this.#registers.read(offset)
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case REG.CTRL:
        this.#setControl(value)
        return
      case REG.EECD:
        this.#eeprom.control = value
        return
      case REG.EERD:
        this.#eeprom.readRegister = value
        return
      case REG.MDIC:
        this.#phy.command = value
        return
      case REG.ICR:
        this.#interrupts.clear(value)
        return
      case REG.ICS:
        this.#interrupts.raise(value & 0x1_ffff)
        return
      case REG.IMS:
        this.#interrupts.enable(value & 0x1_ffff)
        return
      case REG.IMC:
        this.#interrupts.disable(value)
        return
      default:
        this.#registers.write(offset, value)
        this.#written(offset, value)
    }
  }

  /** Applies the side effects of a register write, after the value was stored. */
  #written(offset: number, value: number): void {
    if (offset === REG.TDT || offset === REG.TCTL) this.#transmitter.pump()
    else if (offset === REG.RDT) this.#receiver.refilled()
    else if (offset === REG.RCTL) {
      this.#tellNetwork()
      this.#receiver.refilled()
    } else if (offset >= REG.MTA && offset < REG.RAL + 0x80) this.#tellNetwork()
    else if (offset === REG.TIDV && (value & FLUSH) !== 0) this.#transmitter.written.now()
    else if (offset === REG.RDTR && (value & FLUSH) !== 0) this.#receiver.waiting.now()
    else if (offset === REG.CTRL_EXT && (value & EEPROM_RESET) !== 0) this.#reload()
  }

  #setControl(value: number): void {
    if ((value & RESET) !== 0) {
      this.#resetController()
      return
    }
    const before = this.#linkUp
    const phyReset = (value & PHY_RESET) !== 0 && (this.#registers.get(REG.CTRL) & PHY_RESET) === 0
    this.#registers.set(REG.CTRL, value & (CONTROL_WRITABLE | PHY_RESET))
    if (phyReset) {
      this.#phy.reset()
      this.#negotiate()
    } else if (this.#linkUp !== before) this.#interrupts.raise(CAUSE.LSC)
  }

  #tellNetwork(): void {
    this.#network.filter?.(wantedAddresses(this.#registers))
  }

  // ---- Link ----

  get #linkUp(): boolean {
    return (this.#registers.get(REG.CTRL) & SET_LINK_UP) !== 0 && this.#phy.linkUp
  }

  get #loopsBack(): boolean {
    return (this.#registers.get(REG.RCTL) & LOOPBACK) !== 0 || this.#phy.loopsBack
  }

  /** Drops the link, which returns after a while if there is a cable. */
  #negotiate(): void {
    this.#linkChanged(false)
    if (this.#network.linkUp && !this.#phy.isPoweredDown) this.#negotiated.armAfter(NEGOTIATION_NS)
  }

  #linkChanged(up: boolean): void {
    this.#negotiated.cancel()
    const before = this.#linkUp
    this.#phy.linkUp = up
    if (before === this.#linkUp) return
    this.#interrupts.raise(CAUSE.LSC)
    if (up) this.#receiver.refilled()
  }

  /** @returns false: the network keeps the frame */
  #receive(frame: Uint8Array): boolean {
    if (this.#isPaused) {
      this.#wasCalled = true
      return this.#receiver.refuse()
    }
    return !this.#linkUp || this.#loopsBack || this.#receiver.receive(frame)
  }

  /** @returns false: the network has no room */
  #send(frame: Uint8Array): boolean {
    const isLoopback = this.#loopsBack
    const fits = frame.length >= 14 && frame.length <= this.#network.maximumBytes
    // A frame that is too long, or without a link, is dropped.
    if (!isLoopback && this.#linkUp && fits && !this.#network.send(frame)) return false
    if (isLoopback && frame.length >= 14) this.#receiver.receive(frame)
    this.#statistics.sent(frame, Math.max(frame.length, 60) + 4)
    return true
  }

  // ---- Machine ----

  /** A reset by the driver: the transceiver and the EEPROM stay as they are. */
  #resetController(): void {
    this.#registers.reset()
    this.#statistics.reset()
    this.#interrupts.reset()
    this.#transmitter.reset()
    this.#reload()
    this.#receiver.reset()
  }

  /** Loads the registers that come from the EEPROM. */
  #reload(): void {
    this.#registers.set(REG.CTRL_EXT, this.#registers.get(REG.CTRL_EXT) & ~EEPROM_RESET)
    this.#registers.setAddress(this.#eeprom.macAddress)
    this.#tellNetwork()
  }

  /** Loses packets in flight, and returns to the state at power-on. */
  override reset(): void {
    // The words of the EEPROM outlive a reset.
    this.#eeprom.reset()
    this.#phy.reset()
    this.#phy.linkUp = this.#network.linkUp
    this.#negotiated.cancel()
    this.#r.ioAddress = 0
    this.#resetController()
  }

  /** Leaves received frames to the network: the card takes none meanwhile. */
  quiesce(): void {
    this.#isPaused = true
  }

  /** Resumes with frames that the network has kept. */
  resume(): void {
    this.#isPaused = false
    // Another machine's network, or a cable unplugged meanwhile, ends negotiation.
    const isNegotiating = this.#negotiated.deadlineNs !== Infinity
    if (!this.#network.linkUp) this.#linkChanged(false)
    else if (!this.#phy.linkUp && !isNegotiating) this.#negotiate()
    // The guest need not notice that it was saved: rings whose registers it has written are not looked at.
    if (this.#wasCalled) {
      this.#receiver.refilled()
      this.#transmitter.pump()
    }
    this.#wasCalled = false
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  override restore(state: unknown): void {
    super.restore(state)
    // The network of another machine has room.
    this.#wasCalled = this.#transmitter.hasPacket
    this.#tellNetwork()
  }
}
