import { readFile } from 'node:fs/promises'
import { createPc, type Pc, type PcOptions } from '@retrap/machine'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { TEST_JIT } from './processes.ts'

/** A PC on deterministic time with Debian's kernel, whose first process is a shell of busybox on the serial port. */
export async function kernelShell(
  options: Partial<PcOptions> & Pick<PcOptions, 'commandLine'>,
): Promise<{ readonly pc: Pc; readonly kernel: Uint8Array }> {
  const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
  const kernel = Uint8Array.from(await readFile(kernelPath))
  const initrd = buildInitramfs(await readFile(busyboxPath))
  const pc = await createPc({
    ...{ memoryBytes: 256 * 2 ** 20, kernel, initrd, clock: 'deterministic', jit: TEST_JIT },
    ...options,
  })
  return { pc, kernel }
}

/** Types lines at the prompts, one after another. @returns what comes out, so far */
export function answerPrompts(
  pc: Pc,
  lines: readonly string[],
  onPrompt: (left: number) => void = () => {},
): () => string {
  const waiting = [...lines]
  let [output, answered] = ['', 0]
  pc.serial.onTransmit((bytes) => {
    output += new TextDecoder().decode(bytes)
    const prompt = output.indexOf('/ # ', answered)
    if (prompt < 0) return
    answered = prompt + 4
    onPrompt(waiting.length)
    pc.serial.receive(new TextEncoder().encode(`${waiting.shift() ?? ''}\n`))
  })
  return () => output
}
