// Boots Debian's installer to its first screen: ten thousand million instructions, most of them to unpack the kernel
// and its initial RAM disk.
import type { Soak } from '@retrap/tooling/soak'
import { fetchInstaller } from '@retrap/linux-guest/linux/debian'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 900_000
const ARCHITECTURES = ['amd64', 'arm64', 'i386'] as const
const FIRST_SCREEN = 'Select a language'

export const soak: Soak = {
  name: 'installer',
  count: 6,
  async setup() {
    for (const architecture of ARCHITECTURES) await fetchInstaller(architecture)
  },
  async step(rng, index) {
    const architecture = ARCHITECTURES[index % ARCHITECTURES.length] ?? 'amd64'
    const machine = ['--cpus', `${rng.between(1, 4)}`, ...(rng.chance(1, 4) ? ['--deterministic'] : [])]
    rng.note('machine', [architecture, ...machine].join(' '))
    const { code, stdout, stderr } = await runRetrap(['linux', '--installer', architecture, ...machine], {
      // Ctrl-A x, once the installer asks for a language.
      answers: [{ to: FIRST_SCREEN, type: '\u0001x' }],
      deadlineMs: DEADLINE_MS,
    })
    if (code !== 0) return `it ended with ${code}: ${stderr}${stdout.slice(-2000)}`
    if (!stdout.includes(FIRST_SCREEN)) return `it never asked for a language: ${stdout.slice(-2000)}`
  },
}
