// Packets that resume processors.
import { cpuOfThread, type ClientState } from './client-state.ts'
import { parseBig } from './hex.ts'
import type { CpuAction } from './target.ts'

/** Most actions of a packet; the first one for each processor counts. */
const MOST_ACTIONS = 1024

const STAY: CpuAction = { action: 'stay', signal: 0 }

/** Parses one action: `c`, `s`, `Cxx`, `Sxx`. */
function parseAction(text: string): CpuAction | undefined {
  if (!/^(?:[cs]|[CS][\dA-Fa-f]{2})$/.test(text)) return undefined
  const action = text[0]!.toLowerCase() === 's' ? 'step' : 'continue'
  return { action, signal: text.length > 1 ? Number.parseInt(text.slice(1), 16) : 0 }
}

/**
 * Parses the rest of a `vCont;` packet.
 *
 * @returns an action for each processor, `stay` without a given one; undefined for an invalid packet, and if no processor
 * would resume
 */
export function parseVCont(state: ClientState, text: string): readonly CpuAction[] | undefined {
  const { cpus } = state.target
  const parts = text.split(';', MOST_ACTIONS + 1)
  if (parts.length > MOST_ACTIONS) return undefined
  const actions = new Array<CpuAction | undefined>(cpus).fill(undefined)
  for (const part of parts) {
    const [what = '', thread = '-1'] = part.split(':')
    const action = parseAction(what)
    const cpu = cpuOfThread(thread, cpus, state.cpu)
    if (action === undefined || cpu === undefined) return undefined
    if (cpu >= 0) actions[cpu] ??= action
    else for (let i = 0; i < cpus; i++) actions[i] ??= action
  }
  return actions.some((action) => action !== undefined) ? actions.map((action) => action ?? STAY) : undefined
}

/**
 * Parses `c`, `s`, `C` and `S`, for the processor of `Hc`, or all. A step resumes one processor only.
 *
 * @param packet - may contain an address to resume at
 */
export function parseResume(state: ClientState, packet: string): readonly CpuAction[] | undefined {
  const letter = packet[0]!
  const hasSignal = letter === 'C' || letter === 'S'
  const [signal = '', place] = hasSignal ? packet.slice(1).split(';') : ['', packet.slice(1) || undefined]
  const action = parseAction(`${letter}${signal}`)
  if (action === undefined) return undefined
  const { target, resumeCpu } = state
  const only = resumeCpu >= 0 ? resumeCpu : action.action === 'step' ? state.cpu : -1
  if (place !== undefined) {
    const address = parseBig(place)
    const cpu = only < 0 ? state.cpu : only
    if (address === undefined || !target.writeRegister(cpu, target.registers.programCounter, address)) return undefined
  }
  return Array.from({ length: target.cpus }, (_, cpu) => (only < 0 || cpu === only ? action : STAY))
}
