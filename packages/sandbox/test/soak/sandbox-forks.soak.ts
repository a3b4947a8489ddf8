// Forks of one sandbox, all of which stay open. Each writes a file and reads its own; now and then an older one reads its own again, or
// runs a command. The end says how long a fork with its file took, the first command in one, and how much memory each has.
import { Sandbox } from '@retrap/sandbox'
import type { Soak } from '@retrap/tooling/soak'

const [PATH, COMMAND_EVERY] = ['/tmp/own', 20]
const box = await Sandbox.open()
await box.run(['/bin/true'])
await box.files.write(PATH, 'of the first')
await box.files.readText(PATH)
const { rss } = process.memoryUsage()
const forks: Sandbox[] = []
const commands: number[] = []
let forkMs = 0

async function since(act: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await act()
  return performance.now() - begun
}

export const soak: Soak = {
  name: 'sandbox-forks',
  count: 1000,
  async step(rng, index) {
    const number = String(index)
    let read = ''
    forkMs += await since(async () => {
      const fork = await box.fork()
      forks.push(fork)
      await fork.files.write(PATH, number)
      read = await fork.files.readText(PATH)
    })
    if (read !== number) return `fork ${number} reads ${read}`
    const other = rng.below(forks.length)
    if (!rng.chance(1, COMMAND_EVERY)) return undefined
    const again = await forks[other]!.files.readText(PATH)
    await using fresh = await box.fork()
    commands.push(await since(() => fresh.run(['/bin/true'])))
    return again === String(other) ? undefined : `fork ${other} reads ${again}`
  },
  async teardown() {
    const each = (process.memoryUsage().rss - rss) / forks.length / 2 ** 20
    const [command = 0] = commands.toSorted((a, b) => a - b).slice(commands.length >> 1)
    const time = `${(forkMs / forks.length).toFixed(2)} ms for a fork with its file`
    console.error(
      `${forks.length} forks: ${time}, ${command.toFixed(0)} ms for the first command, ${each.toFixed(2)} MiB each`,
    )
    await Promise.all([box, ...forks].map((one) => one.close()))
  },
}
