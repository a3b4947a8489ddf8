import { get16 } from './frame-bytes.ts'
import { REG, type RegisterFile } from './register-file.ts'

/*
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §3.2.1, "Packet Address Filtering",
 * §9.3, "Receive Address Filtering with VLANs".
 */

// RCTL.
const UNICAST_PROMISCUOUS = 1 << 3
const MULTICAST_PROMISCUOUS = 1 << 4
const BROADCAST = 1 << 15
const VLAN_FILTER = 1 << 18
const FORM_FILTER = 1 << 19
const FORM_VALUE = 1 << 20
const PASS_CONTROL = 1 << 23

const ADDRESS_VALID = 0x8000_0000
/** Bits that select the compared address; 0: the destination. */
const ADDRESS_SELECT = 0x0003_0000
const ADDRESSES = 16
const CONTROL_TYPE = 0x8808
/** Which bits of the last two bytes of an address are the index of its bit, by RCTL's offset. */
const HASH_SHIFTS = [4, 3, 2, 0]

/** How a frame got through: exactly, by the table of hashes alone, or not at all. */
export type FilterResult = 'exact' | 'inexact' | 'none'

/** Whether a frame has a VLAN tag, by the type in the register VET. */
export function isTagged(frame: Uint8Array, registers: RegisterFile): boolean {
  return frame.length >= 18 && get16(frame, 12) === registers.get(REG.VET)
}

/** Checks whether a frame is for the driver. */
export function filterFrame(frame: Uint8Array, registers: RegisterFile): FilterResult {
  const control = registers.get(REG.RCTL)
  if (get16(frame, 12) === CONTROL_TYPE && (control & PASS_CONTROL) === 0) return 'none'
  const found = filterAddress(frame, control, registers)
  if (found === 'none' || (control & VLAN_FILTER) === 0 || !isTagged(frame, registers)) return found
  const tag = get16(frame, 14)
  const word = registers.get(REG.VFTA + 4 * ((tag >>> 5) & 0x7f))
  if (((word >>> (tag & 31)) & 1) === 0) return 'none'
  if ((control & FORM_FILTER) !== 0 && ((tag >>> 12) & 1) !== ((control & FORM_VALUE) === 0 ? 0 : 1)) return 'none'
  return found
}

function filterAddress(frame: Uint8Array, control: number, registers: RegisterFile): FilterResult {
  const low = (frame[0]! | (frame[1]! << 8) | (frame[2]! << 16) | (frame[3]! << 24)) >>> 0
  const high = frame[4]! | (frame[5]! << 8)
  for (let i = 0; i < ADDRESSES; i++) {
    const upper = registers.get(REG.RAL + 8 * i + 4)
    const isUsed = (upper & ADDRESS_VALID) !== 0 && (upper & ADDRESS_SELECT) === 0
    if (isUsed && (upper & 0xffff) === high && registers.get(REG.RAL + 8 * i) === low) return 'exact'
  }
  if ((frame[0]! & 1) === 0) return (control & UNICAST_PROMISCUOUS) === 0 ? 'none' : 'exact'
  const isBroadcast = low === 0xffff_ffff && high === 0xffff
  if (isBroadcast && (control & BROADCAST) !== 0) return 'exact'
  if ((control & MULTICAST_PROMISCUOUS) !== 0) return 'exact'
  const hash = (high >>> HASH_SHIFTS[(control >>> 12) & 3]!) & 0xfff
  return ((registers.get(REG.MTA + 4 * (hash >>> 5)) >>> (hash & 31)) & 1) === 0 ? 'none' : 'inexact'
}

/** Returns the frames that a driver wants, for networks that filter by address. */
export function wantedAddresses(registers: RegisterFile): { promiscuous: boolean; unicast: Uint8Array; multicast: [] } {
  const control = registers.get(REG.RCTL)
  const [low, high] = [registers.get(REG.RAL), registers.get(REG.RAL + 4)]
  let isPlain = (control & (UNICAST_PROMISCUOUS | MULTICAST_PROMISCUOUS)) === 0
  // A network can filter by one address. With hashes or further addresses it delivers all frames.
  for (let i = 0; i < 128 && isPlain; i++) isPlain = registers.get(REG.MTA + 4 * i) === 0
  for (let i = 1; i < ADDRESSES && isPlain; i++) isPlain = (registers.get(REG.RAL + 8 * i + 4) & ADDRESS_VALID) === 0
  const bytes = [low, low >>> 8, low >>> 16, low >>> 24, high, high >>> 8]
  return { promiscuous: !isPlain, unicast: Uint8Array.from(bytes), multicast: [] }
}
