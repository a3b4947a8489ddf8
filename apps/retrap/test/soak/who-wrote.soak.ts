// Who wrote a byte last, of random addresses in the boot of Debian's kernel. Each step asks at the end of a recording and goes to
// behind the writer that is named: the byte must be what it is at the end. The summary has the processor time of the questions.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { processTime } from '@retrap/tooling/processor-time'
import type { Soak } from '@retrap/tooling/soak'
import { GdbClient } from '../support/readers/gdb-client.ts'
import { retrapCommand, runRetrap } from '../support/processes.ts'

const MEMORY_BYTES = 256 << 20
const DEADLINE_MS = 600_000
const WRITER =
  /^(?:the instruction at|the delivery of an event before|device [^,]+, by DMA|the machine).*: monitor goto (\d+)\n$/

let folder = ''
let pid = 0
let stop = (): void => {}
let client: GdbClient | undefined
let end = 0
const seconds: number[] = []

export const soak: Soak = {
  name: 'who-wrote',
  count: 100,
  async setup() {
    folder = mkdtempSync(join(tmpdir(), 'retrap-who-wrote-'))
    const recording = join(folder, 'boot.rec')
    const command = ['linux', '--memory', `${MEMORY_BYTES >> 20}M`, '--record', recording, '--command', 'poweroff -f']
    const { stderr } = await runRetrap(command, { deadlineMs: DEADLINE_MS })
    end = Number(/recorded (\d+) instructions/.exec(stderr)?.[1])
    const replay = ['replay', recording, '--goto', `${end}`, '--', '--gdb', 'tcp:0,wait']
    const child = spawn(process.execPath, retrapCommand(replay), { stdio: ['ignore', 'ignore', 'pipe'] })
    pid = child.pid!
    stop = () => void child.kill('SIGKILL')
    client = await GdbClient.of(child.stderr)
    await client.ask('Qqemu.PhyMemMode:1')
  },
  async step(rng) {
    const to = client!
    const address = rng.below(MEMORY_BYTES).toString(16)
    rng.note('address', `0x${address}`)
    const before = processTime(pid)
    const answer = await to.monitor(`who-wrote 0x${address}@p`)
    seconds.push(processTime(pid) - before)
    rng.note('answer', answer.trim())
    if (answer === 'nobody since power-on\n' || answer.includes('there is no memory')) return undefined
    const place = WRITER.exec(answer)?.[1]
    if (place === undefined) return 'an answer that is none'
    const last = await to.ask(`m${address},1`)
    await to.monitor(`goto ${Math.min(Number(place) + 1, end)}`)
    const then = await to.ask(`m${address},1`)
    await to.monitor('goto end')
    return then === last ? undefined : `the byte is ${last} at the end, and was ${then} behind its last writer`
  },
  teardown() {
    stop()
    rmSync(folder, { recursive: true, force: true })
  },
  summary() {
    const sorted = seconds.toSorted((a, b) => a - b)
    const at = (part: number): string => (sorted[Math.floor(part * (sorted.length - 1))] ?? NaN).toFixed(2)
    return `processor time of a question: median ${at(0.5)} s, of nine in ten ${at(0.9)} s, worst ${at(1)} s`
  },
}
