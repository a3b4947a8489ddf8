// Debian's kernel as a guest of Xen in clones: each has a store of its own, by which its host has it give memory back, and its console
// and its timers go on.
import { readFileSync } from 'node:fs'
import { connectGuest, type Guest } from '@retrap/guest'
import { createPc, type Pc } from '@retrap/machine'
import type { Soak } from '@retrap/tooling/soak'
import { agentLinux, type DiskLinux } from '../support/disk-linux.ts'
import { TO_DEVICES } from '../support/first-process.ts'

const DEADLINE_MS = 600_000
const PATIENT = { connectTimeoutMs: DEADLINE_MS, answerTimeoutMs: DEADLINE_MS }
const MEMORY_MIB = 256
const CLONES = 2
const COMPLAINT = /BUG:|WARNING:|Oops|Call Trace|soft lockup|XENBUS: Tim|xen.*fail/
/** Frames that the kernel does not count: those of the area below 1 MiB, and Xen's. */
const BESIDE_KB = 264
const TARGET = '/local/domain/1/memory/target'
const XEN = '/sys/devices/system/xen_memory/xen_memory0'

/** A machine with its guest's agent, and what the guest has printed on Xen's console. */
interface Twin {
  readonly pc: Pc
  readonly guest: Guest
  readonly printed: () => string
}

async function twinOf(pc: Pc): Promise<Twin> {
  const pieces: Uint8Array[] = []
  pc.xenConsole.onTransmit((bytes) => void pieces.push(bytes))
  void pc.run()
  const guest = await connectGuest(pc.serialPorts[1]!, PATIENT)
  return { pc, guest, printed: () => Buffer.concat(pieces).toString('latin1') }
}

const said = async ({ guest }: Twin, command: string): Promise<string> => (await guest.exec(command)).stdout.trim()

/** Has a guest use its store, its console and its events. @returns what is wrong, if anything is */
async function use(twin: Twin, name: string, targetKb: number): Promise<string | undefined> {
  const { pc } = twin
  const interrupts = "awk '/hvc_console|xenbus|timer0/ { sum += $2 } END { print sum }' /proc/interrupts"
  const before = Number(await said(twin, interrupts))
  // The guest's watch in its store tells it, and it gives frames back by hypercalls.
  pc.xen!.store.write(TARGET, targetKb)
  const isThere = `[ $(($(cat ${XEN}/info/current_kb) / 1024)) = ${Math.floor((targetKb - BESIDE_KB) / 1024)} ]`
  const current = await said(
    twin,
    `n=0; until ${isThere} || [ $n -ge 600 ]; do n=$((n + 1)); sleep 0.1; done; cat ${XEN}/info/current_kb`,
  )
  if (Math.abs(Number(current) + BESIDE_KB - targetKb) >= 1024) return `${name}: ${current} KiB, expected ${targetKb}`
  if (pc.xen!.memory.current > targetKb / 4 + 1024) return `${name}: Xen counts ${pc.xen!.memory.current} frames`
  await said(twin, `echo ${name} of ${targetKb} > /dev/hvc0; sleep 1`)
  if (!twin.printed().includes(`${name} of ${targetKb}`)) return `${name}: Xen's console has ${twin.printed()}`
  const after = Number(await said(twin, interrupts))
  if (!(after > before)) return `${name}: ${before} interrupts, and then ${after}`
  const complaint = COMPLAINT.exec(await said(twin, 'dmesg'))
  console.log(`xen-clones: ${name}: ${current} KiB, ${after - before} interrupts more`)
  return complaint === null ? undefined : `${name}: ${complaint[0]}`
}

let linux: DiskLinux | undefined

/** Boots Debian on Xen, and has the machine and two clones be used side by side. */
export const soak: Soak = {
  name: 'xen-clones',
  count: 1,
  async setup() {
    linux = await agentLinux()
  },
  async step(rng) {
    const pcs: Pc[] = []
    const targetOf = (i: number): number => (MEMORY_MIB - 24 - 16 * i - rng.between(0, 8)) * 1024
    try {
      const cpus = rng.between(1, 2)
      const pc = await createPc({
        memoryBytes: MEMORY_MIB << 20,
        cpus,
        jit: true,
        kernel: readFileSync(linux!.kernelPath),
        initrd: linux!.initrd,
        commandLine: `${TO_DEVICES} rdinit=/auto grant_table.version=${rng.pick([1, 2])}`,
        serialPorts: 2,
        hypervisor: 'xen',
        forks: { clones: CLONES, writtenBytes: 96 << 20 },
      })
      pcs.push(pc)
      const first = await twinOf(pc)
      const wrong = await use(first, 'original', targetOf(0))
      if (wrong !== undefined) return wrong
      const twins = [first]
      for (let i = 1; i <= CLONES; i++) {
        const begun = process.cpuUsage()
        const clone = await twins.at(-1)!.pc.fork()
        const { user, system } = process.cpuUsage(begun)
        console.log(
          `xen-clones: clone ${i} took ${((user + system) / 1000).toFixed(1)} ms, of a guest with ${cpus} CPUs`,
        )
        pcs.push(clone)
        twins.push(await twinOf(clone))
      }
      const targets = twins.map((_, i) => targetOf(i + 1))
      const results = await Promise.all(twins.map((twin, i) => use(twin, `machine ${i}`, targets[i]!)))
      const failed = results.find((result) => result !== undefined)
      if (failed !== undefined) return failed
      // Stores are their own.
      const stores = twins.map((twin) => twin.pc.xen!.store.read(TARGET))
      return stores.join() === targets.join() ? undefined : `targets are ${stores.join()}, expected ${targets.join()}`
    } finally {
      for (const each of pcs) each.close()
    }
  },
}
