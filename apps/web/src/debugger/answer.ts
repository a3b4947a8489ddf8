import type { CallView, WriterView } from '@retrap/web'
import { hex } from './stop-text.ts'

/** Functions that an answer names. */
const MOST_CALLS = 4

/** A function without the place in it. */
const functionOf = ({ name, address }: CallView): string => name?.replace(/\+0x[\da-f]+$/, '') ?? hex(address)

/** Says who wrote something. */
export function writerText(what: string, writer: WriterView): string {
  switch (writer.by) {
    case 'instruction': {
      const { task, calls, cpu, address } = writer
      const [first, ...callers] = calls
      const source = first?.source ?? null
      const at = source === null ? '' : `, ${source}`
      const named = first === undefined ? hex(address) : functionOf(first)
      if (task === null) {
        const isNamed = first !== undefined && first.name !== null
        return `${what}: the instruction at ${hex(address)}${isNamed ? `, ${named}${at},` : ''} of vCPU ${cpu} wrote it.`
      }
      const by = callers.filter(({ name }) => name !== null).slice(0, MOST_CALLS - 1)
      const called = by.length === 0 ? '' : `, called by ${by.map(functionOf).join(' ← ')}`
      return `${what}: it was pid ${task.pid}, ${task.name}, in ${named}${at}${called}.`
    }
    case 'device':
      return `${what}: the device ${writer.device} wrote it, by DMA.`
    case 'machine':
      return `${what}: the machine wrote it, between two instructions.`
    case 'nobody':
      return `${what}: nobody has written it since the recording began.`
    case 'unknown':
      return `${what}: that is not known: ${writer.message}.`
  }
}
