// A page of React's with the example's component, in the mode in which each effect is begun twice.
import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { RetrapMachine } from '../../examples/react.tsx'

const options = { firmware: 'guest.bin', memoryBytes: 16 << 20 }
const wrong = { kernel: 'nowhere', memoryBytes: 16 << 20 }

function App() {
  const [shown, show] = useState(options)
  const [text, setText] = useState('')
  const [isThere, setThere] = useState(true)
  return (
    <>
      <button onClick={() => show(wrong as never)}>Another</button>
      <button onClick={() => setThere(false)}>Away</button>
      <pre>{text}</pre>
      {isThere && <RetrapMachine options={shown} onSerial={(more) => setText((all) => all + more)} />}
    </>
  )
}

createRoot(document.body.appendChild(document.createElement('div'))).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
