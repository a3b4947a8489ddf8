// Packets that read and write registers and memory, and set breakpoints.
import {
  ERROR_ARGUMENT,
  ERROR_MEMORY,
  ERROR_ROOM,
  ERROR_STATE,
  type ClientState,
  type Stopper,
} from './client-state.ts'
import { fromHex, parseBig, parseSmall, toHex } from './hex.ts'
import { PACKET_BYTES } from './packets.ts'
import { formatRegister, registerValue } from './register-set.ts'

/** Breakpoints and watchpoints that a client may have. */
const MOST_STOPPERS = 4096
/** Most bytes of memory in one reply. */
const MOST_MEMORY = PACKET_BYTES / 2 - 8

/** `g`: all general registers. */
export function readRegisters({ target, cpu }: ClientState): string {
  const { registers, general } = target.registers
  let text = ''
  for (let i = 0; i < general; i++) {
    const register = registers[i]!
    text += formatRegister(register, target.readRegister(cpu, register.name))
  }
  return text
}

/** `G`: writes all registers; incomplete trailing ones stay unchanged. */
export function writeRegisters({ target, cpu }: ClientState, text: string): string {
  const { registers, general } = target.registers
  let at = 0
  for (let i = 0; i < general && at < text.length; i++) {
    const { name, bits } = registers[i]!
    const bytes = fromHex(text.slice(at, (at += bits / 4)))
    if (bytes === undefined || bytes.length !== bits / 8) return ERROR_ARGUMENT
    const value = registerValue(bytes)
    if (target.readRegister(cpu, name) !== value && !target.writeRegister(cpu, name, value)) return ERROR_STATE
  }
  return 'OK'
}

/** `p`: reads one register by number. */
export function readRegister({ target, cpu }: ClientState, text: string): string {
  const register = target.registers.registers[parseSmall(text) ?? -1]
  if (register === undefined) return ERROR_ARGUMENT
  return formatRegister(register, target.readRegister(cpu, register.name))
}

/** `P`: writes a register. */
export function writeRegister({ target, cpu }: ClientState, text: string): string {
  const [number = '', value = ''] = text.split('=')
  const register = target.registers.registers[parseSmall(number) ?? -1]
  const bytes = fromHex(value)
  if (register === undefined || bytes === undefined || bytes.length !== register.bits / 8) return ERROR_ARGUMENT
  return target.writeRegister(cpu, register.name, registerValue(bytes)) ? 'OK' : ERROR_STATE
}

/** `m`: reads memory, as far as accessible. */
export function readMemory({ target, cpu, physical }: ClientState, text: string): string {
  const [first, second] = text.split(',')
  const [address, length] = [parseBig(first), parseSmall(second)]
  if (address === undefined || length === undefined) return ERROR_ARGUMENT
  const bytes = new Uint8Array(Math.min(length, MOST_MEMORY))
  const count = physical ? target.readPhysical(address, bytes) : target.readMemory(cpu, address, bytes)
  return count === 0 && length > 0 ? ERROR_MEMORY : toHex(bytes.subarray(0, count))
}

/** `M` and `X`: writes memory, given as hex digits or as escaped bytes. */
export function writeMemory({ target, cpu, physical }: ClientState, text: string, binary: boolean): string {
  const colon = text.indexOf(':')
  const [first, second] = text.slice(0, Math.max(colon, 0)).split(',')
  const [address, length] = [parseBig(first), parseSmall(second)]
  const data = text.slice(colon + 1)
  const bytes = binary ? Uint8Array.from(data, (character) => character.charCodeAt(0)) : fromHex(data)
  if (address === undefined || length === undefined || bytes?.length !== length) return ERROR_ARGUMENT
  const count = physical ? target.writePhysical(address, bytes) : target.writeMemory(cpu, address, bytes)
  return count === length ? 'OK' : ERROR_MEMORY
}

const KINDS: readonly Stopper['kind'][] = ['software', 'hardware', 'write', 'read', 'access']

/** `Z` and `z`: sets a breakpoint or a watchpoint, or takes it away. */
export function changeStopper(state: ClientState, text: string, insert: boolean): string {
  // Conditions and commands may follow; they were not offered.
  const [digit = '', first, second] = text.split(';', 1)[0]!.split(',')
  const kind = /^\d$/.test(digit) ? KINDS[Number(digit)] : undefined
  const [address, length] = [parseBig(first), parseSmall(second)]
  if (kind === undefined) return ''
  if (address === undefined || length === undefined) return ERROR_ARGUMENT
  const stopper: Stopper = { kind, address, length }
  const key = `${kind} ${address} ${isBreakpoint(stopper) ? 0 : length}`
  const known = state.stoppers.get(key)
  if (!insert) {
    if (known === undefined) return ERROR_ARGUMENT
    state.stoppers.delete(key)
    remove(state, known)
    return 'OK'
  }
  // Setting the same one twice has no further effect.
  if (known !== undefined) return 'OK'
  if (state.stoppers.size >= MOST_STOPPERS || !setStopper(state, stopper)) return ERROR_ROOM
  state.stoppers.set(key, stopper)
  return 'OK'
}

const isBreakpoint = ({ kind }: Stopper): boolean => kind === 'software' || kind === 'hardware'

/** Sets a breakpoint or watchpoint on the target. @returns false if impossible */
export function setStopper({ target }: ClientState, { kind, address, length }: Stopper): boolean {
  if (kind === 'software' || kind === 'hardware') return target.addBreakpoint(address)
  return target.addWatchpoint(address, length, kind)
}

function remove({ target, stoppers }: ClientState, { kind, address, length }: Stopper): void {
  if (kind !== 'software' && kind !== 'hardware') return target.removeWatchpoint(address, length, kind)
  // The two kinds of breakpoints are one on the target.
  for (const other of stoppers.values()) if (isBreakpoint(other) && other.address === address) return
  target.removeBreakpoint(address)
}
