/** `retrap layers`. */
import { join } from 'node:path'
import type { Command } from 'commander'
import { type ListingOutput, printLines } from '../../print-lines.ts'

const HELP = `
Images of registries are kept in the cache folder, each layer once, up to 20 GiB; those that were used longest ago go first.`

export function addLayers(program: Command, stdout: ListingOutput): void {
  program
    .command('layers')
    .description('List the images that were pulled from registries, or remove them')
    .option('--prune', 'remove them all, and the unpacked layers of images')
    .addHelpText('after', HELP)
    .action(async ({ prune = false }: { readonly prune?: boolean }) => {
      // Readers of images are loaded on demand.
      const [{ cacheDirectory }, { prunePulledImages, pulledImages }, { pinnedName, pulledFolder }] = await Promise.all(
        [import('@retrap/debian'), import('@retrap/oci/node'), import('@retrap/linux-guest/jobs/root')],
      )
      const more = ['oci-layers', 'saved-images'].map((name) => join(cacheDirectory(), name))
      const freed = prune ? await prunePulledImages(pulledFolder(), more) : undefined
      const rows = (await pulledImages(pulledFolder())).map((image) => {
        const date = new Date(image.pulledAt).toISOString().slice(0, 10)
        return `${date}  ${image.architecture}  ${mib(image.bytes).padStart(10)}  ${pinnedName(image)}`
      })
      await printLines(freed === undefined ? rows : [`${mib(freed)} are free again`, ...rows], stdout)
    })
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
