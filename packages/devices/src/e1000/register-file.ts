/*
 * Registers of a gigabit Ethernet controller.
 *
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (Intel 317453-006), §13,
 * "Register Descriptions". Names are the manual's.
 */

/** Offsets. */
export const REG = {
  CTRL: 0x0000,
  STATUS: 0x0008,
  EECD: 0x0010,
  EERD: 0x0014,
  CTRL_EXT: 0x0018,
  MDIC: 0x0020,
  VET: 0x0038,
  ICR: 0x00c0,
  ITR: 0x00c4,
  ICS: 0x00c8,
  IMS: 0x00d0,
  IMC: 0x00d8,
  RCTL: 0x0100,
  TCTL: 0x0400,
  LEDCTL: 0x0e00,
  PBA: 0x1000,
  RDBAL: 0x2800,
  RDBAH: 0x2804,
  RDLEN: 0x2808,
  RDH: 0x2810,
  RDT: 0x2818,
  RDTR: 0x2820,
  RADV: 0x282c,
  RSRPD: 0x2c00,
  TDBAL: 0x3800,
  TDBAH: 0x3804,
  TDLEN: 0x3808,
  TDH: 0x3810,
  TDT: 0x3818,
  TIDV: 0x3820,
  TXDCTL: 0x3828,
  TADV: 0x382c,
  RXCSUM: 0x5000,
  /** 128 words: bits of multicast addresses. */
  MTA: 0x5200,
  /** 16 pairs of words with an address each. */
  RAL: 0x5400,
  /** 128 words with a bit for each VLAN. */
  VFTA: 0x5600,
} as const

/** Causes of interrupts. Source: §13.4.17, "Interrupt Cause Read Register". */
export const CAUSE = {
  TXDW: 0x1,
  TXQE: 0x2,
  LSC: 0x4,
  RXDMT0: 0x10,
  RXO: 0x40,
  RXT0: 0x80,
  MDAC: 0x200,
  TXD_LOW: 0x8000,
  SRPD: 0x1_0000,
} as const

const BYTES = 0x6000
const ADDRESS_VALID = 0x8000_0000

/** Returns a range of registers with the same bits. */
const row = (first: number, count: number, step: number, mask: number): [number, number][] =>
  Array.from({ length: count }, (_, i) => [first + step * i, mask])

/** Writable bits of registers that only store their value. */
const WRITABLE = new Map<number, number>([
  [0x0018, 0x00ff_fffc], // CTRL_EXT; bit 13 is the model's
  [0x0028, 0xffff_ffff], // FCAL
  [0x002c, 0xffff], // FCAH
  [0x0030, 0xffff], // FCT
  [REG.VET, 0xffff],
  [REG.ITR, 0xffff],
  [0x0170, 0xffff], // FCTTV
  [0x0178, 0xffff_ffff], // TXCW
  [REG.RCTL, 0x06df_fffe],
  [REG.TCTL, 0x017f_fffa],
  [0x0410, 0x3fff_ffff], // TIPG
  [0x0458, 0xffff], // AIT
  [REG.LEDCTL, 0xcfcf_cfcf],
  [0x2160, 0x8000_fff8], // FCRTL
  [0x2168, 0x0000_fff8], // FCRTH
  ...row(0x2410, 5, 8, 0x1fff), // RDFH, RDFT, RDFHS, RDFTS, RDFPC
  [REG.RDBAL, 0xffff_fff0],
  [REG.RDBAH, 0xffff_ffff],
  [REG.RDLEN, 0x000f_ff80],
  [REG.RDH, 0xffff],
  [REG.RDT, 0xffff],
  [REG.RDTR, 0xffff],
  [0x2828, 0x013f_3f3f], // RXDCTL
  [REG.RADV, 0xffff],
  [REG.RSRPD, 0x0fff],
  [0x3000, 0xffff_ffff], // TXDMAC
  ...row(0x3410, 5, 8, 0x07ff), // TDFH, TDFT, TDFHS, TDFTS, TDFPC
  [REG.TDBAL, 0xffff_fff0],
  [REG.TDBAH, 0xffff_ffff],
  [REG.TDLEN, 0x000f_ff80],
  [REG.TDH, 0xffff],
  [REG.TDT, 0xffff],
  [REG.TIDV, 0xffff],
  [REG.TXDCTL, 0xff3f_3f3f],
  [REG.TADV, 0xffff],
  [0x3830, 0xffff_ffff], // TSPMT
  [REG.RXCSUM, 0x07ff],
  [0x5800, 0x000f], // WUC
  [0x5808, 0x000f_00ff], // WUFC
  [0x5820, 0xffff_ffff], // MANC
  [0x5838, 0x0001_000f], // IPAV
  ...row(0x5840, 4, 8, 0xffff_ffff), // IP4AT
  ...row(0x5880, 4, 4, 0xffff_ffff), // IP6AT
  // SWSM and SW_FW_SYNC of later models (Intel 316080, §13.3.12), which U-Boot's driver uses on all of them.
  [0x5b50, 0x3],
  [0x5b5c, 0x03ff_03ff],
  ...row(0x5f00, 4, 8, 0x07ff), // FFLT
])

/** Storage of the registers, shared by the parts of the controller. */
export class RegisterFile {
  readonly words: Uint32Array = new Uint32Array(BYTES / 4)

  constructor() {
    this.reset()
  }

  /** Returns the value of a register with an offset of its own. */
  get(offset: number): number {
    return this.words[offset >>> 2]!
  }

  /** Sets a register, also bits that a driver cannot write. */
  set(offset: number, value: number): void {
    this.words[offset >>> 2] = value
  }

  /** Returns the value for a driver; 0 for unknown offsets. */
  read(offset: number): number {
    return offset < BYTES ? this.words[offset >>> 2]! : 0
  }

  /** Stores a driver's write; unknown offsets ignore it. */
  write(offset: number, value: number): void {
    if (offset >= REG.MTA && offset < REG.VFTA + 0x200) {
      const isTable = offset < REG.RAL || offset >= REG.VFTA
      const isAddress = offset < REG.RAL + 0x80
      if (isTable) this.set(offset, value)
      // The upper half holds 16 bits of address, a 2-bit use selector and the valid bit.
      else if (isAddress) this.set(offset, (offset & 4) === 0 ? value : value & 0x8003_ffff)
      return
    }
    const mask = WRITABLE.get(offset)
    if (mask !== undefined) this.set(offset, value & mask)
    // Both parts of the packet buffer together have 64 KiB.
    else if (offset === REG.PBA) this.set(offset, (value & 0x7f) | ((64 - Math.min(value & 0x7f, 64)) << 16))
  }

  /** Returns to the values after a reset. */
  reset(): void {
    this.words.fill(0)
    // Full duplex, speed detection, 1000 Mbit/s.
    this.set(REG.CTRL, 0x0000_0221)
    this.set(REG.VET, 0x8100)
    this.set(REG.PBA, 0x0010_0030)
    this.set(REG.LEDCTL, 0x0706_8302)
  }

  /** Puts the controller's own address in place. */
  setAddress(address: ArrayLike<number>): void {
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = Array.from(address)
    this.set(REG.RAL, a | (b << 8) | (c << 16) | (d << 24))
    this.set(REG.RAL + 4, e | (f << 8) | ADDRESS_VALID)
  }

  /** A 64-bit guest-physical address of a register pair. */
  address(low: number): number {
    return this.get(low + 4) * 0x1_0000_0000 + this.get(low)
  }
}
