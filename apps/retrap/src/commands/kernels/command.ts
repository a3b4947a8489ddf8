/** `retrap kernels`. */
import { type Command, Option } from 'commander'
import { pinnedVersion, RELEASES } from '@retrap/debian'
import { fetchFullLinux, keptKernel } from '@retrap/linux-guest/linux/debian-drivers'
import { DEBIAN_KERNELS, parseKernel } from '../../guests/linux/kernel-names.ts'
import { fetchLines } from '@retrap/linux-guest/host/files'
import { type ListingOutput, printLines } from '../../print-lines.ts'
import type { SessionOutput } from '../../machine/session/session-host.ts'
import { usage } from '../../options/values.ts'
import { tableLines } from '../test/matrix.ts'

const HELP = `
The table has the version that is fetched, and for each processor the version that is in the cache folder, as uname -r prints it. A
kernel is fetched with its modules when a run names it, as exec --kernel debian:13 does, or here: retrap kernels debian:13 debian:sid.
Each release of retrap has fixed versions, by SHA-256, so that all hosts boot the same; --refresh takes what the mirror has now.`

const ARCHITECTURES = { 'x86-64': 'amd64', arm64: 'arm64' } as const

export function addKernels(program: Command, stdout: ListingOutput, stderr: SessionOutput): void {
  program
    .command('kernels')
    .description("List Debian's kernels for exec and test, and those that are here; or fetch some")
    .argument('[name...]', 'kernels to fetch, such as debian:13')
    .addOption(
      new Option('--arch <name>', 'the processor of kernels to fetch')
        .choices(Object.keys(ARCHITECTURES))
        .default('x86-64'),
    )
    .option('--refresh', 'fetch the versions that the mirror has now')
    .addHelpText('after', HELP)
    .action(
      async (
        names: readonly string[],
        { arch, refresh = false }: { readonly arch: keyof typeof ARCHITECTURES; readonly refresh?: boolean },
      ) => {
        const releases = names.map((name) => {
          const { release } = parseKernel(name)
          if (release === undefined) throw usage(`${name} is no kernel of Debian's; 'retrap kernels' lists their names`)
          return release
        })
        const tell = fetchLines((text) => void stderr.write(`retrap: ${text}\n`))
        for (const release of releases) await fetchFullLinux(release, ARCHITECTURES[arch], tell, refresh)
        const rows = DEBIAN_KERNELS.map(({ name, release }) => [
          name,
          pinnedVersion(release, `linux-image-${ARCHITECTURES[arch]}`) ?? '-',
          ...Object.values(ARCHITECTURES).map((architecture) => keptKernel(release, architecture)?.release ?? '-'),
          RELEASES[release].suites[0],
        ])
        await printLines(tableLines([['kernel', 'Linux', ...Object.keys(ARCHITECTURES), 'suite'], ...rows]), stdout)
      },
    )
}
