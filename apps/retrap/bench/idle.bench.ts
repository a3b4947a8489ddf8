// Many machines of one instant in one process, all of them idle: Debian's kernel at its prompt, forked. Prints the processor time
// of the process as a share of one processor, and its memory for each machine. Usage: idle.bench.ts [MACHINES] [SECONDS]
import { readFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { createPc, type Pc } from '@retrap/machine'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { DEBIAN_KERNEL } from '../src/commands/debian/debian-images.ts'
import { buildInitramfs, SHELL_PROMPT } from '@retrap/linux-guest/linux/initramfs'

const MIB = 2 ** 20
/** A guest that has just come to its prompt still has work of its own. */
const SETTLE_MS = 10_000

export async function run([machines = '100', seconds = '30']: readonly string[]): Promise<void> {
  const { kernelPath, busyboxPath } = await fetchLinux(DEBIAN_KERNEL)
  const count = Number(machines)
  const pc = await createPc({
    ...{ memoryBytes: 256 * MIB, jit: true, kernel: new Uint8Array(await readFile(kernelPath)) },
    initrd: buildInitramfs(await readFile(busyboxPath)),
    commandLine: 'console=ttyS0 quiet',
    forks: { clones: count, writtenBytes: 8 * MIB },
  })
  const stop = new AbortController()
  const ready = Promise.withResolvers<void>()
  let printed = ''
  pc.serial.onTransmit((bytes) => {
    printed = (printed + Buffer.from(bytes).toString('latin1')).slice(-200)
    // oxlint-disable-next-line no-control-regex -- the shell asks where its cursor is
    if (SHELL_PROMPT.test(printed.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, ''))) ready.resolve()
  })
  const first = pc.run({ signal: stop.signal })
  await ready.promise
  await setTimeout(SETTLE_MS)
  stop.abort()
  await first
  const before = usedBytes()
  const clones: Pc[] = []
  for (let i = 0; i < count; i++) clones.push(await pc.fork())
  const end = new AbortController()
  const runs = clones.map((clone) => clone.run({ signal: end.signal }))
  await setTimeout(SETTLE_MS)
  const began = performance.now()
  const start = process.cpuUsage()
  await setTimeout(Number(seconds) * 1000)
  const { user, system } = process.cpuUsage(start)
  const share = (user + system) / 1000 / (performance.now() - began)
  const bytes = (usedBytes() - before) / count
  end.abort()
  await Promise.all(runs)
  console.log(`idle: ${(100 * share).toFixed(2)} % of a processor for ${count} machines (goal 3)`)
  console.log(`idle-memory: ${(bytes / MIB).toFixed(2)} MiB a machine (goal 10)`)
  for (const clone of clones) clone.close()
  pc.close()
}

const usedBytes = (): number => process.memoryUsage().rss
