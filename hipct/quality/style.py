"""How a page of a report looks: on screens, on paper, by night."""

STYLE = """
:root{--ink:#1b1e23;--soft:#5c6370;--line:#d9dce1;--paper:#fff;--panel:#f5f6f8;--blue:#2563a8;
--green:#2e8540;--yellow:#d99a00;--red:#c4281b;--grey:#9aa0a8}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a3a9b3;--line:#383d45;
--paper:#16181c;--panel:#1f2227;--blue:#7fb3ea;--green:#56b36a;--yellow:#e8b42f;--red:#ee6a5d}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.45 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:26px;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:19px;margin:34px 0 10px;border-bottom:1px solid var(--line);padding-bottom:4px}
h3{font-size:15px;margin:20px 0 6px}
.lead{margin:0 0 12px}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:6px 10px 6px 0;border-bottom:1px solid var(--line);
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
thead th{color:var(--soft);font-weight:600;font-size:13px}
tbody th,.pairs th,.times th{font-weight:600}
.pairs th{width:280px;font-weight:500;color:var(--soft)}
.pairs .other th,.pairs .other td{font-weight:700;color:var(--ink)}
.figures td:first-child{width:112px;white-space:nowrap}
.figures th[scope]{width:160px}
.figures .value{width:140px;font-weight:600}
.small{margin:2px 0 0;color:var(--soft);font-size:13px;font-weight:400}
.small em{font-style:normal;color:var(--ink);opacity:.75}
.light{white-space:nowrap}
.light i{display:inline-block;width:13px;height:13px;border-radius:50%;margin-right:7px;
vertical-align:-1px;background:var(--grey)}
.light.green i{background:var(--green)}.light.yellow i{background:var(--yellow)}
.light.red i{background:var(--red);border-radius:2px}
.light.red{font-weight:700}
.notes{padding-left:20px;color:var(--soft)}
.pictures{display:grid;grid-template-columns:1fr 1fr;gap:18px}
.pictures .wide{grid-column:1/-1}
figure{margin:0;background:var(--panel);padding:12px;border-radius:6px}
figure img{max-width:100%;height:auto;display:block;margin:0 auto}
figure svg{width:100%;height:auto;display:block}
figcaption{margin-top:8px;font-size:13px;color:var(--soft)}
.row{display:flex;gap:8px;flex-wrap:wrap;justify-content:center}
.row div{text-align:center;font-size:12px;color:var(--soft)}
svg text{font-size:12px;fill:var(--soft)}
svg .grid{stroke:var(--line);stroke-width:1}
svg .main{fill:none;stroke:var(--blue);stroke-width:2}
svg .aside{fill:none;stroke:var(--red);stroke-width:1.5;stroke-dasharray:5 4}
svg .area{fill:var(--blue);opacity:.55;stroke:none}
svg .mark{stroke:var(--ink);stroke-width:1;stroke-dasharray:2 3}
.bar{height:9px;background:var(--blue);opacity:.6;margin:6px 6px 0 0;max-width:70%;float:left}
.times td:nth-child(3){width:45%}
.scroll{overflow-x:auto}
summary{cursor:pointer;color:var(--blue)}
footer{margin-top:36px;color:var(--soft);font-size:13px}
svg .legend{fill:var(--panel)}
@media(max-width:700px){main{padding:16px 12px 32px}.pictures{grid-template-columns:minmax(0,1fr)}
.figures thead{display:none}.figures tr{display:grid;grid-template-columns:auto 1fr auto;
column-gap:12px;padding:6px 0;border-bottom:1px solid var(--line)}
.figures td,.figures th{border:0;padding:2px 0}
.figures td:first-child,.figures th[scope],.figures .value{width:auto}
.figures td:last-child{grid-column:1/-1}
.pairs th{width:42%}.times td:nth-child(3){width:auto}.times .bar{float:none;max-width:100%}}
@media print{details>*{display:block}main{max-width:none}figure{break-inside:avoid}}
"""
