import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Asks QEMU for a picture of its screen, again and again. */
export async function watchQemu(
  options: readonly string[],
  file: string,
  enough: (width: number, pixels: Uint32Array) => boolean,
  seconds: number,
): Promise<boolean> {
  const machine = ['-M', 'pc,accel=tcg', '-nodefaults', '-display', 'none', '-m', '32', '-monitor', 'stdio']
  const process = spawn('qemu-system-x86_64', [...machine, ...options], { stdio: ['pipe', 'ignore', 'inherit'] })
  try {
    for (let tries = 0; tries < 4 * seconds; tries++) {
      process.stdin.write(`screendump ${file}\n`)
      await new Promise((resolve) => setTimeout(resolve, 250))
      const dump = readDump(file)
      if (dump !== undefined && enough(dump.width, dump.pixels)) return true
    }
    return false
  } finally {
    process.kill('SIGKILL')
  }
}

/** Pixels 0x00RRGGBB of a PPM file; undefined while it is not whole. */
function readDump(file: string): { readonly width: number; readonly pixels: Uint32Array } | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch {
    return undefined
  }
  const [header = '', width = '0', height = '0'] =
    /^P6\n(\d+) (\d+)\n255\n/.exec(bytes.subarray(0, 40).toString('latin1')) ?? []
  const count = Number(width) * Number(height)
  if (count === 0 || bytes.length < header.length + 3 * count) return undefined
  const pixels = new Uint32Array(count)
  for (let i = 0; i < count; i++) pixels[i] = bytes.readUIntBE(header.length + 3 * i, 3)
  return { width: Number(width), pixels }
}
