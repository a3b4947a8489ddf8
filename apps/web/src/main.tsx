import { render } from 'preact'
import { useState } from 'preact/hooks'
import { MachinePage } from './machine-page.tsx'
import type { Chosen } from './settings.ts'
import { StartPage } from './start-page.tsx'

function App() {
  const [chosen, choose] = useState<Chosen | null>(null)
  return (
    <>
      <header>
        <h1>retrap</h1>
        <span class="soft">a 64-bit PC in this page</span>
      </header>
      <main>
        {chosen === null ? <StartPage start={choose} /> : <MachinePage chosen={chosen} close={() => choose(null)} />}
      </main>
    </>
  )
}

render(<App />, document.getElementById('app')!)
