import type { SessionHost } from './host.ts'
import type { SerialInput } from './serial-input.ts'

/** Connects the user's input, a terminal in raw mode so that the guest gets every key. @returns how to let go of it */
export function openInput(host: SessionHost, input: SerialInput): () => void {
  const { stdin } = host
  const terminal = stdin.isTTY === true
  if (terminal) stdin.setRawMode?.(true)
  stdin.on('data', (bytes) => {
    input.typed(bytes)
    if (input.isFull) stdin.pause()
  })
  stdin.on('end', () => input.ended())
  stdin.resume()
  return () => {
    stdin.removeAllListeners()
    stdin.pause()
    // An open pipe must not keep a finished process alive.
    stdin.unref?.()
    if (terminal) stdin.setRawMode?.(false)
  }
}
