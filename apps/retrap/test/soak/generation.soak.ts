// Debian's kernel in clones that have a generation of their own: it seeds its random numbers anew, so that clones of one instant
// get other ones, and its clock can be set by the agent.
import { readFileSync } from 'node:fs'
import { connectGuest, type Guest } from '@retrap/guest'
import { createPc, type Pc } from '@retrap/machine'
import type { Soak } from '@retrap/tooling/soak'
import { agentLinux, type DiskLinux } from '../support/disk-linux.ts'
import { TO_DEVICES } from '../support/first-process.ts'

const DEADLINE_MS = 600_000
const PATIENT = { connectTimeoutMs: DEADLINE_MS, answerTimeoutMs: DEADLINE_MS }
const RESEEDED = 'crng reseeded due to virtual machine fork'
const CLONES = 2
/** A time that no host has. */
const SET_TIME = 4_000_000_000

const linesOf = async (guest: Guest, command: string): Promise<string[]> => {
  const { stdout } = await guest.exec(command)
  return stdout.trim().split('\n')
}

let linux: DiskLinux | undefined

/** Makes clones of a machine at its agent, and draws random numbers in all of them. */
export const soak: Soak = {
  name: 'generation',
  count: 1,
  async setup() {
    linux = await agentLinux()
  },
  async step(rng) {
    const pcs: Pc[] = []
    try {
      const pc = await createPc({
        memoryBytes: 256 << 20,
        jit: true,
        kernel: readFileSync(linux!.kernelPath),
        initrd: linux!.initrd,
        commandLine: `${TO_DEVICES} rdinit=/auto`,
        serialPorts: 2,
        generation: {},
        forks: { clones: CLONES, writtenBytes: 64 << 20 },
      })
      pcs.push(pc)
      void pc.run()
      const guest = await connectGuest(pc.serialPorts[1]!, PATIENT)
      const random = 'dd if=/dev/urandom bs=16 count=1 2>/dev/null | sha256sum; cat /proc/sys/kernel/random/uuid'
      const before = await linesOf(guest, `dmesg | grep -c '${RESEEDED}'`)
      if (before.join() !== '0') return `the machine itself has begun ${before.join()} generations`
      const drawn: string[] = []
      for (let i = 0; i < CLONES; i++) {
        const clone = await pc.fork()
        pcs.push(clone)
        void clone.run()
        const twin = await connectGuest(clone.serialPorts[1]!, PATIENT)
        const said = await linesOf(twin, `dmesg | grep '${RESEEDED}'`)
        if (said.length !== 1 || !said[0]!.includes(RESEEDED)) return `clone ${i} says: ${said.join('; ')}`
        rng.note(`clone ${i}`, said[0]!)
        console.log(`generation: clone ${i}: ${said[0]}`)
        drawn.push(...(await linesOf(twin, random)))
        await twin.setTime(SET_TIME)
        const [seconds] = await linesOf(twin, 'date +%s')
        if (!(Number(seconds) - SET_TIME < 600 && Number(seconds) >= SET_TIME))
          return `clone ${i} has the time ${seconds}`
        twin.close()
      }
      drawn.push(...(await linesOf(guest, random)))
      console.log(`generation: ${drawn.join(' ')}`)
      return new Set(drawn).size === drawn.length ? undefined : `random numbers came twice: ${drawn.join(' ')}`
    } finally {
      for (const each of pcs) each.close()
    }
  },
}
