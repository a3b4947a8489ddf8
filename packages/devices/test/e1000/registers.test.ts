import { expect, test } from 'vitest'
import { E1000Machine } from '../support/e1000-machine.ts'

/**
 * Registers that hold what is written: name, offset, bits that a driver changes, value after a reset. Source: 317453, §13.2,
 * "Register Conventions", and the register descriptions of §13.4 to §13.8. The two semaphores are of the 82571 and later, in
 * whose manual they are (316080, §13.3.12): drivers of the family, U-Boot's among them, take them on all members.
 */
const REGISTERS: readonly (readonly [name: string, offset: number, writable: number, reset?: number])[] = [
  ['FCAL', 0x28, 0xffff_ffff],
  ['FCAH', 0x2c, 0xffff],
  ['FCT', 0x30, 0xffff],
  ['VET', 0x38, 0xffff, 0x8100],
  ['ITR', 0xc4, 0xffff],
  ['FCTTV', 0x170, 0xffff],
  ['TXCW', 0x178, 0xffff_ffff],
  ['RXCW', 0x180, 0],
  ['TIPG', 0x410, 0x3fff_ffff],
  ['AIFS', 0x458, 0xffff],
  ['LEDCTL', 0xe00, 0xcfcf_cfcf, 0x0706_8302],
  ['FCRTL', 0x2160, 0x8000_fff8],
  ['FCRTH', 0x2168, 0xfff8],
  ['RDFH', 0x2410, 0x1fff],
  ['RDFT', 0x2418, 0x1fff],
  ['RDFHS', 0x2420, 0x1fff],
  ['RDFTS', 0x2428, 0x1fff],
  ['RDFPC', 0x2430, 0x1fff],
  ['RDBAL', 0x2800, 0xffff_fff0],
  ['RDBAH', 0x2804, 0xffff_ffff],
  ['RDLEN', 0x2808, 0x000f_ff80],
  ['RDH', 0x2810, 0xffff],
  ['RXDCTL', 0x2828, 0x013f_3f3f],
  ['RADV', 0x282c, 0xffff],
  ['RSRPD', 0x2c00, 0x0fff],
  ['TDFH', 0x3410, 0x7ff],
  ['TDFT', 0x3418, 0x7ff],
  ['TDFHS', 0x3420, 0x7ff],
  ['TDFTS', 0x3428, 0x7ff],
  ['TDFPC', 0x3430, 0x7ff],
  ['TDBAL', 0x3800, 0xffff_fff0],
  ['TDBAH', 0x3804, 0xffff_ffff],
  ['TDLEN', 0x3808, 0x000f_ff80],
  ['TDH', 0x3810, 0xffff],
  ['TXDCTL', 0x3828, 0xff3f_3f3f],
  ['TADV', 0x382c, 0xffff],
  ['TSPMT', 0x3830, 0xffff_ffff],
  ['RXCSUM', 0x5000, 0x07ff],
  ['MTA', 0x5200, 0xffff_ffff],
  ['MTA', 0x53fc, 0xffff_ffff],
  ['RAL 15', 0x5478, 0xffff_ffff],
  ['RAH 15', 0x547c, 0x8003_ffff],
  ['VFTA', 0x5600, 0xffff_ffff],
  ['VFTA', 0x57fc, 0xffff_ffff],
  ['WUC', 0x5800, 0x000f],
  ['WUFC', 0x5808, 0x000f_00ff],
  ['WUS', 0x5810, 0],
  ['MANC', 0x5820, 0xffff_ffff],
  ['IPAV', 0x5838, 0x0001_000f],
  ['IP4AT', 0x5840, 0xffff_ffff],
  ['IP4AT', 0x5858, 0xffff_ffff],
  ['IP6AT', 0x5880, 0xffff_ffff],
  ['IP6AT', 0x588c, 0xffff_ffff],
  ['WUPL', 0x5900, 0],
  ['WUPM', 0x5a00, 0],
  ['SWSM', 0x5b50, 0x3],
  ['SW_FW_SYNC', 0x5b5c, 0x3ff_03ff],
  ['FFLT', 0x5f00, 0x7ff],
  ['FFLT', 0x5f18, 0x7ff],
]

test.for(REGISTERS)('%s at %i has the bits of the manual', ([, offset, writable, reset = 0]) => {
  const card = new E1000Machine()
  expect(card.read(offset)).toBe(reset)
  card.write(offset, 0xffff_ffff)
  expect(card.read(offset)).toBe(writable)
  card.write(offset, 0)
  expect(card.read(offset)).toBe(0)
  card.write(offset, 0xffff_ffff)
  card.write(0, 0x0400_0000)
  expect(card.read(offset)).toBe(reset)
})
