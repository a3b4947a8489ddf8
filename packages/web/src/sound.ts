// The page's side of a machine's sound. Loaded on demand.
import { address, PROCESSOR } from './sound-worklet.ts'

/**
 * Has a machine's sound go to a node of a page's audio graph.
 *
 * @param hear - gives the Worker its end of a channel to the thread that plays
 * @returns a function that ends the connection
 */
export async function connectSound(
  hear: (port: MessagePort) => Promise<void>,
  destination: AudioNode,
): Promise<() => void> {
  const { context } = destination
  await context.audioWorklet.addModule(address)
  const node = new AudioWorkletNode(context, PROCESSOR, { numberOfInputs: 0, outputChannelCount: [2] })
  const { port1, port2 } = new MessageChannel()
  node.port.postMessage(port2, [port2])
  const detach = (): void => {
    node.disconnect()
    node.port.postMessage(null)
  }
  try {
    await hear(port1)
  } catch (error) {
    detach()
    throw error
  }
  node.connect(destination)
  return detach
}
