import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { V86 } from 'v86'

/**
 * Starts a Linux guest on v86.
 *
 * @param given - paths of BIOS, VGA BIOS, kernel and initial ramdisk; MiB of memory; the command line
 */
export function startLinux(given: readonly string[]): V86 {
  const [bios = '', vgaBios = '', kernel = '', initrd = '', mebibytes = '', cmdline = ''] = given
  const image = (path: string): { buffer: ArrayBuffer } => ({ buffer: new Uint8Array(readFileSync(path)).buffer })
  return new V86({
    wasm_path: fileURLToPath(import.meta.resolve('v86').replace('libv86.mjs', 'v86.wasm')),
    bios: image(bios),
    vga_bios: image(vgaBios),
    bzimage: image(kernel),
    initrd: image(initrd),
    cmdline,
    memory_size: Number(mebibytes) << 20,
    vga_memory_size: 2 << 20,
    autostart: true,
  })
}
