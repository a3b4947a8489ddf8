// Packets that begin with `q` and `Q`.
import { cpuOfThread, ERROR_ARGUMENT, threadOf, type ClientState } from './client-state.ts'
import { fromHex, latin1, parseSmall, toHex } from './hex.ts'
import { PACKET_BYTES } from './packets.ts'

const FEATURES = [
  `PacketSize=${PACKET_BYTES.toString(16)}`,
  'QStartNoAckMode+',
  'qXfer:features:read+',
  'qXfer:threads:read+',
  'vContSupported+',
  'swbreak+',
  'hwbreak+',
].join(';')

const REVERSE_FEATURES = 'ReverseStep+;ReverseContinue+'

/** Bits of `sstepbits`, like QEMU's: single step, no interrupts, no timers. */
const STEP_ENABLE = 1
const STEP_HOLD = 2
const STEP_NO_TIMERS = 4
/** Most characters of a monitor command's output. */
const MOST_PRINTED = 1 << 20

/** Answers a query. @returns the reply; empty if unsupported */
export async function answerQuery(state: ClientState, packet: string): Promise<string> {
  const { target } = state
  const end = packet.search(/[:,;]/)
  const [name, rest] = end < 0 ? [packet, ''] : [packet.slice(0, end), packet.slice(end + 1)]
  switch (name) {
    case 'qSupported': {
      const offered = new Set(rest.split(';'))
      state.understands.softwareBreakpoints = offered.has('swbreak+')
      state.understands.hardwareBreakpoints = offered.has('hwbreak+')
      return target.reverse === undefined ? FEATURES : `${FEATURES};${REVERSE_FEATURES}`
    }
    case 'qXfer':
      return transfer(state, rest)
    case 'qAttached':
      return '1'
    case 'qC':
      return `QC${threadOf(state.cpu)}`
    case 'qfThreadInfo':
      return `m${Array.from({ length: target.cpus }, (_, cpu) => threadOf(cpu)).join(',')}`
    case 'qsThreadInfo':
      return 'l'
    case 'qThreadExtraInfo': {
      const cpu = cpuOfThread(rest, target.cpus, state.cpu)
      return cpu === undefined || cpu < 0 ? ERROR_ARGUMENT : toHex(latin1(target.describeCpu(cpu)))
    }
    case 'qRcmd':
      return monitor(state, rest)
    case 'qSymbol':
      return 'OK'
    // Queries of QEMU's server beyond the protocol.
    case 'qqemu.PhyMemMode':
      return state.physical ? '1' : '0'
    case 'Qqemu.PhyMemMode':
      if (rest !== '0' && rest !== '1') return ERROR_ARGUMENT
      state.physical = rest === '1'
      return 'OK'
    case 'qqemu.sstepbits':
      return `ENABLE=${STEP_ENABLE},NOIRQ=${STEP_HOLD},NOTIMER=${STEP_NO_TIMERS}`
    case 'qqemu.sstep':
      return `0x${(STEP_ENABLE | (state.steps.holdInterrupts ? STEP_HOLD : 0)).toString(16)}`
    default:
      return name.startsWith('Qqemu.sstep=') ? setSteps(state, name.slice(12)) : ''
  }
}

function setSteps(state: ClientState, text: string): string {
  const bits = parseSmall(text.replace(/^0x/, ''))
  if (bits === undefined || (bits & STEP_ENABLE) === 0) return ERROR_ARGUMENT
  state.steps = { holdInterrupts: (bits & STEP_HOLD) !== 0 }
  return 'OK'
}

/** `qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH`. */
function transfer({ target }: ClientState, text: string): string {
  const [object, action, annex, range = ''] = text.split(':')
  const [offset, length] = range.split(',').map(parseSmall)
  if (action !== 'read') return ''
  let whole: string
  if (object === 'features' && annex === 'target.xml') whole = target.registers.xml
  else if (object === 'threads' && annex === '') whole = threads(target)
  else return object === 'features' || object === 'threads' ? 'E00' : ''
  if (offset === undefined || length === undefined || offset > whole.length) return ERROR_ARGUMENT
  const piece = whole.slice(offset, offset + Math.min(length, PACKET_BYTES / 2))
  return `${offset + piece.length < whole.length ? 'm' : 'l'}${piece}`
}

function threads(target: ClientState['target']): string {
  const list = Array.from({ length: target.cpus }, (_, cpu) => {
    const text = target.describeCpu(cpu).replaceAll(/[^\w ,.:()[\]-]/g, ' ')
    return `<thread id="${threadOf(cpu)}" core="${cpu}">${text}</thread>`
  })
  return `<?xml version="1.0"?>\n<threads>\n${list.join('\n')}\n</threads>\n`
}

async function monitor({ target, cpu }: ClientState, text: string): Promise<string> {
  const bytes = fromHex(text)
  if (bytes === undefined) return ERROR_ARGUMENT
  const printed = await target.monitor(cpu, String.fromCharCode(...bytes).trim())
  const shown = new TextEncoder().encode(printed.slice(0, MOST_PRINTED))
  return shown.length === 0 ? 'OK' : toHex(shown)
}
