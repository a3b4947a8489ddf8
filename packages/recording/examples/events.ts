// A run's inputs are written as they come, and read again: also from a file whose writer was stopped.
import { openRecording, RecordingWriter } from '@retrap/recording'

const pieces: Uint8Array[] = []
const writer = new RecordingWriter((bytes) => pieces.push(bytes.slice()), { machine: 'example' })
const text = new TextEncoder()
writer.add('input', { round: 3, instructions: 30_000 }, 0, text.encode('a key'))
writer.mark({ round: 7, instructions: 70_000 }, 'before the fault')
writer.add('input', { round: 9, instructions: 88_000 }, 1, text.encode('a packet'))
await writer.end({ round: 12, instructions: 120_000 })

const file = Uint8Array.from(pieces.flatMap((piece) => [...piece]))
const read = (bytes: Uint8Array) =>
  openRecording({ bytes: bytes.length, read: (offset, count) => bytes.subarray(offset, offset + count) })

const recording = await read(file)
console.log(recording.description, recording.end.instructions, recording.marks[0]!.name)
for (const { kind, instructions, data } of await recording.events(1))
  console.log(kind, instructions, new TextDecoder().decode(data))

const cut = await read(file.subarray(0, file.length - 200))
console.log(cut.isCut, cut.end.instructions)

// Output:
// { machine: 'example' } 120000 before the fault
// input 88000 a packet
// true 88000
